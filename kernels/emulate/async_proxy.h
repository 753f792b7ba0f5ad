// The asynchronous proxy: bulk copies and wgmma see shared memory by another way than threads do. What
// threads have written is seen there once a fence was between (fence.proxy.async).
//
// Here it is a copy of dynamic shared memory, which fences renew and in which bulk copies write what they
// write: where it differs from what the memory holds, the fence is missing. A fence is taken to publish
// what every thread has written, so that one which other threads lack is not missed.
#pragma once

#include "tensor_map.h"

#pragma GCC visibility push(hidden)

namespace emulate {

void fence_proxy_async();

// Addresses as instructions have them: where dynamic shared memory begins, modulo 1024, they are what
// they are, so that swizzles fall on the same bits.
unsigned shared_window_address(const void* address);
unsigned char* at_shared_window(unsigned address, int rank);  // of a block of the cluster

// Fails unless all of it lies in dynamic shared memory, the only one whose use by `what` is followed here.
void require_dynamic_shared(const void* address, size_t bytes, const char* what, Site site);
// Fails unless the proxy sees there what the memory holds.
void require_published(const void* address, size_t bytes, const char* what, Site site);
// By a bulk copy, of what the memory holds now.
void note_bulk_write(const void* address, size_t bytes, Swizzle swizzle);
// Fails where a bulk copy brought the 16 bytes, and swizzled them otherwise.
void require_swizzle(const void* pack, Swizzle swizzle, const char* what, Site site);

// ---- told by the scheduler ----

void begin_async_proxy_of_block();

}  // namespace emulate

#pragma GCC visibility pop
