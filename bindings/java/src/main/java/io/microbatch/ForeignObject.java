package io.microbatch;

/**
 * An object whose owner is somebody else: a word that only its owner can read. It can be handed on to a batcher of that
 * owner; any other refuses it with WRONG_OWNER.
 *
 * @param owner the owner's number
 * @param word the object
 * @param size its size in bytes for the byte limits
 */
public record ForeignObject(int owner, long word, long size) {}
