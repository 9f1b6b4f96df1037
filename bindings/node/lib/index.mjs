// One copy of the module, whichever way it is loaded.
import microbatch from './index.cjs';

export const {
  status, version, Batcher, SharedBatcher, Producer, Batch, Results, MicrobatchError, Failure, MapError, ForeignObject, map, nativeSymbol,
} = microbatch;
