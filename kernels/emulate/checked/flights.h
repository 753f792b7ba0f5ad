// Asynchronous copies to shared memory that were begun and not yet waited for: nobody may access their
// destination, not even the thread that began them, as nobody knows when they land.
#pragma once

#include "shadow.h"

#pragma GCC visibility push(hidden)

namespace emulate {
namespace check {

extern size_t copies_in_flight;
inline bool any_copy_in_flight() { return copies_in_flight > 0; }

// By the thread that runs, to an address that is a multiple of copy_bytes.
void note_copy(uintptr_t destination, SiteOffset site);
void forget_copy(uintptr_t destination);
void forget_copies(uintptr_t destination, size_t bytes);  // outside of the kernel
void forget_copies();  // a block begins

// Reports an access of the thread that runs to a destination.
void look_for_copy(uintptr_t address, size_t bytes, bool writes, SiteOffset site);

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
