// Bank conflicts: shared memory has 32 banks of 4 bytes, and serves in one pass what a warp asks of
// different banks, or of one word of a bank.
#pragma once

#include "shadow.h"

#pragma GCC visibility push(hidden)

namespace emulate {
namespace check {

extern bool counts_banks;

void note_bank_access(uintptr_t address, size_t bytes, SiteOffset site);
void add_up_banks();  // of a block

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
