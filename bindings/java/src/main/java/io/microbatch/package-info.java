/**
 * The batcher, what it is made from, and what comes out of it.
 *
 * <p>Words: a <em>value</em> is pushed with a <em>tag</em> of the caller's, waits in the open <em>batch</em>, is handled by a
 * <em>handler</em> together with the others of its batch, and gets exactly one <em>result</em>. No reference that a method
 * takes or returns is {@code null} unless it says so; pushed values and results may be.
 */
package io.microbatch;
