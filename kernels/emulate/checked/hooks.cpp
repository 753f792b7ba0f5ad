// What the compiler calls at every access to memory (-fsanitize=thread, without that sanitizer's own
// runtime, and -fsanitize=alignment), and what it leads to.
#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "../fiber.h"
#include "../runtime.h"
#include "../scheduler.h"
#include "banks.h"
#include "flights.h"
#include "report.h"

// Calls of these are sent to the hooks below, those of the emulator's own code, too by the linker (--wrap),
// or by clang.
extern "C" void* __real_memcpy(void*, const void*, size_t);
extern "C" void* __real_memmove(void*, const void*, size_t);
extern "C" void* __real_memset(void*, int, size_t);

namespace emulate {
namespace check {

namespace {

uintptr_t stack_low = 0;  // of the thread that runs
bool is_copied = false;   // what is accessed: no access of a warp, whose banks count
bool is_resumed = false;  // the block: what it wrote to shared memory before is not known

// Kernels read these all the time, and nobody writes.
inline bool is_coordinate(uintptr_t address) {
    const auto lies_in = [=](const auto& v) { return address - uintptr_t(&v) < sizeof v; };
    return lies_in(threadIdx) || lies_in(blockIdx) || lies_in(blockDim) || lies_in(gridDim);
}

constexpr uint16_t thread_bits = most_threads - 1;
static_assert(most_threads <= atomic_in_block && most_warps <= 256, "a cell has room for them");

// ---- who accessed a cell, and in which order ----

bool have_been_seen(const Readers& readers, int warp) {
    if (readers.stamp >= order.block_start && readers.stamp <= order.barrier &&
        order.is_of_block(warp * lanes_per_warp)) {
        return true;
    }
    for (unsigned left = readers.lanes; left != 0; left &= left - 1) {
        if (!has_seen(warp * lanes_per_warp + __builtin_ctz(left), readers.stamp)) {
            return false;
        }
    }
    return true;
}

int one_unseen(const Readers& readers, int warp) {
    unsigned left = readers.lanes;
    while (has_seen(warp * lanes_per_warp + __builtin_ctz(left), readers.stamp)) {
        left &= left - 1;
    }
    return warp * lanes_per_warp + __builtin_ctz(left);
}

Access write_of(const Cell& cell) {
    return {true, (cell.writer & atomic_write) != 0, cell.writer & thread_bits, cell.write,
            cell.write_site};
}

// Whether two operations are atomic for each other; atomicity: bits of the cell's writer.
bool are_atomic(const Cell& cell, uint16_t atomicity) {
    if ((cell.writer & atomicity & atomic_write) == 0) {
        return false;
    }
    const bool is_narrow = ((cell.writer | atomicity) & atomic_in_block) != 0;
    return !is_narrow || (cell.write >= order.block_start && order.is_of_block(cell.writer & thread_bits));
}

void note_read(Cell& cell, uintptr_t address, Stamp floor, uint16_t atomicity, SiteOffset site) {
    Readers& last = cell.readers[0];
    const bool together = last.stamp == order.now && cell.warps[0] == order.warp;
    if (together && (last.lanes & order.lane_bit)) {
        return;
    }
    const bool is_atomic = atomicity != 0;
    if (cell.write >= floor && !are_atomic(cell, atomicity) &&
        !has_seen(cell.writer & thread_bits, cell.write)) {
        const Access mine{false, is_atomic, order.thread, order.now, site};
        if (!is_atomic && (cell.writer & atomic_write)) {
            suspect_race(address, write_of(cell), mine);
        } else {
            report_race(address, write_of(cell), mine);
        }
    }
    if (is_atomic) {
        return;
    }
    if (together) {
        last.lanes |= order.lane_bit;
        return;
    }
    // (Of another block's readers it is asked when somebody writes, as it may take long.)
    if (last.stamp >= floor &&
        (last.stamp < order.block_start || !have_been_seen(last, cell.warps[0]))) {
        cell.readers[1] = last;
        cell.warps[1] = cell.warps[0];
    }
    last = {order.now, site, order.lane_bit};
    cell.warps[0] = uint8_t(order.warp);
}

void note_write(Cell& cell, uintptr_t address, Stamp floor, uint16_t atomicity, SiteOffset site) {
    const uint16_t writer = uint16_t(order.thread | atomicity);
    const bool is_atomic = atomicity != 0;
    if (cell.write == order.now && cell.writer == writer && cell.readers[0].stamp < floor) {
        return;
    }
    const Access mine{true, is_atomic, order.thread, order.now, site};
    if (cell.write >= floor && !are_atomic(cell, atomicity) &&
        !has_seen(cell.writer & thread_bits, cell.write)) {
        report_race(address, write_of(cell), mine);
    }
    for (int i = 0; i < 2; ++i) {
        Readers& readers = cell.readers[i];
        if (readers.stamp >= floor && !have_been_seen(readers, cell.warps[i]) &&
            !(is_atomic && is_confirmed(readers.site))) {
            const int reader = one_unseen(readers, cell.warps[i]);
            report_race(address, {false, false, reader, readers.stamp, readers.site}, mine);
        }
        readers.stamp = 0;
    }
    cell.write = order.now;
    cell.writer = writer;
    cell.write_site = site;
}

// ---- threads that wait for a change ----

// A thread that tries the same address again and again without changing it lets others run: here threads
// change at barriers only. Where nobody changes anything, the launch ends.
constexpr int tries_in_turn = 16;
constexpr uint64_t tries_in_vain = 200000;

struct Waiting {
    uintptr_t address;
    int tries;
    uintptr_t path, path_before;  // sums of what it accessed since the last try, and before that one
};
Waiting waiting[most_threads];
uint64_t tries_since_change = 0;

void try_again(uintptr_t address, SiteOffset site) {
    Waiting& mine = waiting[order.thread];
    const bool went_on = mine.path != mine.path_before;  // who waits looks at the same again and again
    if (mine.address != address || went_on) {
        tries_since_change = went_on ? 0 : tries_since_change;
        mine = {address, 0, 0, mine.path};
        return;
    }
    mine.path = 0;
    if (++tries_since_change > tries_in_vain) {
        Region* region = find_region(address);
        const Cell* cell = region != nullptr ? &region->cell(address) : nullptr;
        if (cell != nullptr && cell->write >= order.launch_start) {
            const Access last = write_of(*cell);
            stop_spinning(address, site, &last);
        }
        stop_spinning(address, site, nullptr);
    }
    if (++mine.tries % tries_in_turn == 0) {
        leave_kernel();
        let_others_run();
        return_to_kernel();
    }
}

// ---- memory that nothing wrote ----

void note_writes(Region& region, uintptr_t address, size_t bytes) {
    __real_memset(region.written + (address - region.low), 1, bytes);
}


// Padding within structures is never written, but read with the rest.
bool nothing_wrote(const Region& region, uintptr_t address, size_t bytes) {
    const unsigned char* flags = region.written + (address - region.low);
    return std::none_of(flags, flags + bytes, [](unsigned char flag) { return flag != 0; });
}

// ---- shared memory of other blocks ----

// Whoever uses it must be seen by a thread of its block, which else might have ended before.
struct Reach {
    Stamp stamp;  // of the last
    SiteOffset site;
};
std::map<int, Reach> reaches[max_blocks_of_cluster];  // by threads
bool has_ended[max_blocks_of_cluster];

void note_reach(int rank, SiteOffset site) {
    leave_kernel();
    if (has_ended[rank]) {
        report_reach(rank, {false, false, order.thread, order.now, site});
    }
    reaches[rank][order.thread] = {order.now, site};
    return_to_kernel();
}

// ---- an access ----

enum class Mode { plain, is_volatile, atomic, atomic_in_block };
bool is_next_narrow = false;  // the next atomic operation

inline Mode mode_of_atomic() {
    return std::exchange(is_next_narrow, false) ? Mode::atomic_in_block : Mode::atomic;
}

template <bool writes>
void look_at(uintptr_t address, size_t bytes, Mode mode, SiteOffset site) {
    Region* const region = find_region(address);
    if (region == nullptr) {
        if (is_out_of_bounds(address, writes)) {
            stop_out_of_bounds(address, bytes, writes, site);
        }
        return;
    }
    Stamp floor = order.launch_start;
    if (region->kind == Kind::shared) {
        const SharedPart* part = find_shared_part(address);
        if (part == nullptr || address + bytes > part->high) {
            stop_out_of_bounds(address, bytes, writes, site);
        }
        floor = order.block_start;
        if (part->rank != order.rank) {
            note_reach(part->rank, site);
        }
        if (any_copy_in_flight()) {
            look_for_copy(address, bytes, writes, site);
        }
        if (counts_banks) {
            if (!is_copied) {
                note_bank_access(address, bytes, site);
            }
        } else if (order.blocks == 1) {  // of others it is asked who reaches for it
            stretch_at(address) = {part->low, part->high, region, floor};
        }
    } else if (address + bytes > region->high && region->kind == Kind::global) {
        // Atomic operations on a byte are made of such on its word, which the end may cut.
        const bool is_atomic = mode == Mode::atomic || mode == Mode::atomic_in_block;
        if (!is_atomic || address % 4 + bytes > 4) {
            stop_out_of_bounds(address, bytes, writes, site);
        }
    } else if (region->written != nullptr) {
        if (writes) {
            note_writes(*region, address, bytes);
        } else if (nothing_wrote(*region, address, bytes)) {
            report_unwritten(address, site, region->kind);
        }
    }
    if (region->kind == Kind::global) {
        stretch_at(address) = {region->low, region->high, region, floor};
    }
    if (((address | bytes) & ((uintptr_t(1) << region->shift) - 1)) != 0) {
        refine(*region, address, bytes);
    }
    region->is_touched = true;
    if (mode == Mode::is_volatile && !writes) {
        try_again(address, site);
    } else if (mode == Mode::plain) {
        waiting[order.thread].path += address;
    }
    if (writes) {
        tries_since_change = 0;
    }
    // Threads talk through volatile flags in global memory. In shared memory, volatile is what code for
    // GPUs whose warps ran in step has in place of __syncwarp().
    const bool is_flag = mode == Mode::is_volatile && region->kind != Kind::shared;
    if (is_flag) {
        synchronise_at(address);
    }
    const uint16_t atomicity = mode == Mode::atomic_in_block ? atomic_write | atomic_in_block
                               : mode == Mode::atomic || is_flag ? atomic_write
                                                                 : 0;
    for (uintptr_t at = address; at < address + bytes; at += uintptr_t(1) << region->shift) {
        Cell& cell = region->cell(at);
        if (!writes && region->kind == Kind::shared && cell.write < floor && !is_resumed) {
            report_unwritten(at, site, region->kind);
        }
        if (writes) {
            note_write(cell, at, floor, atomicity, site);
        } else {
            note_read(cell, at, floor, atomicity, site);
        }
    }
}

// ---- most accesses ----

// A plain access to whole cells of an array that was found before, ordered after all that is noted there
// in a way that is seen at once: notes it and says so. In all other cases look_at sees to it.

inline bool is_plainly_seen(const Readers& readers, int warp, Stamp floor) {
    return readers.stamp < floor || (readers.stamp >= order.block_start && readers.stamp <= order.barrier &&
                                     order.is_of_block(warp * lanes_per_warp));
}

// Whether these lanes ran in another block, or in another warp since the last barrier.
inline bool is_plainly_unseen(const Readers& readers, int warp) {
    return readers.stamp < order.block_start || (warp != order.warp && !order.any_acquired);
}

inline bool read_cell(Cell& cell, const Stretch& found, CodeAddress site) {
    const bool is_written = cell.write >= found.floor;
    if (is_written ? !has_seen(cell.writer & thread_bits, cell.write) : found.region->kind == Kind::shared) {
        return false;
    }
    Readers& last = cell.readers[0];
    if (last.stamp == order.now && cell.warps[0] == order.warp) {
        last.lanes |= order.lane_bit;
        return true;
    }
    if (!is_plainly_seen(last, cell.warps[0], found.floor)) {
        if (!is_plainly_unseen(last, cell.warps[0])) {
            return false;
        }
        cell.readers[1] = last;
        cell.warps[1] = cell.warps[0];
    }
    last = {order.now, offset_of(site), order.lane_bit};
    cell.warps[0] = uint8_t(order.warp);
    return true;
}

inline bool write_cell(Cell& cell, const Stretch& found, CodeAddress site) {
    Readers* const readers = cell.readers;
    const bool is_only_reader = readers[0].stamp == order.now && cell.warps[0] == order.warp &&
                                readers[0].lanes == order.lane_bit;
    if ((cell.write >= found.floor && !has_seen(cell.writer & thread_bits, cell.write)) ||
        !(is_only_reader || is_plainly_seen(readers[0], cell.warps[0], found.floor)) ||
        !is_plainly_seen(readers[1], cell.warps[1], found.floor)) {
        return false;
    }
    readers[0].stamp = readers[1].stamp = 0;
    cell.write = order.now;
    cell.writer = uint16_t(order.thread);
    cell.write_site = offset_of(site);
    return true;
}

// Word: an integer of the access's size, whose flags are looked at in one.
template <bool writes, class Word>
inline bool access_cells(uintptr_t address, CodeAddress site) {
    const Stretch& found = stretch_at(address);
    if (!found.contains(address, sizeof(Word))) {
        return false;
    }
    Region& region = *found.region;
    if (any_copy_in_flight() && region.kind == Kind::shared) {
        return false;  // look_at asks for it
    }
    const uintptr_t cell_bytes = uintptr_t(1) << region.shift;
    if (((address | sizeof(Word)) & (cell_bytes - 1)) != 0) {
        return false;
    }
    if (region.written != nullptr) {
        unsigned char* const flags = region.written + (address - region.low);
        Word all;
        if (writes) {
            __builtin_memset(flags, 1, sizeof all);
        } else if (__builtin_memcpy(&all, flags, sizeof all), all == 0) {
            return false;
        }
    }
    for (uintptr_t at = address; at < address + sizeof(Word); at += cell_bytes) {
        if (!(writes ? write_cell : read_cell)(region.cell(at), found, site)) {
            return false;
        }
    }
    waiting[order.thread].path += address;
    if (writes) {
        tries_since_change = 0;
    }
    return true;
}

// Of the thread alone, or an argument of the kernel.
inline bool is_private(uintptr_t address) {
    return address - stack_low < stack_bytes || is_argument(address) || is_coordinate(address);
}

SeeHostAccess* see_host_access = nullptr;

template <bool writes>
inline void access(const void* address, size_t bytes, Mode mode, CodeAddress site) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    if (!in_kernel) {
        if (see_host_access != nullptr) {
            see_host_access(at, bytes, writes, site);
        }
    } else if (!is_private(at) && bytes > 0) {
        look_at<writes>(at, bytes, mode, offset_of(site));
    }
}

template <bool writes, class Word>
inline void access_word(const void* address, CodeAddress site) {
    if (!in_kernel || !access_cells<writes, Word>(reinterpret_cast<uintptr_t>(address), site)) {
        access<writes>(address, sizeof(Word), Mode::plain, site);
    }
}

template <bool writes>
inline void access_range(const void* address, size_t bytes, CodeAddress site) {
    if (bytes == 16) {  // vectors
        access_word<writes, unsigned __int128>(address, site);
    } else if (bytes == 8) {
        access_word<writes, uint64_t>(address, site);
    } else {
        access<writes>(address, bytes, Mode::plain, site);
    }
}

}  // namespace

void set_host_watch(SeeHostAccess* see) { see_host_access = see; }

// ---- what the scheduler and device functions tell ----

void run_thread(int thread, const char* stack) {
    run_thread_in_order(thread);
    stack_low = reinterpret_cast<uintptr_t>(stack);
}

void begin_launch(const void* host_frame, int threads_of_block, int blocks_of_cluster) {
    begin_regions_of_launch(host_frame);
    begin_order_of_launch(threads_of_block, blocks_of_cluster);
    begin_reports_of_launch();
    is_copied = is_next_narrow = false;  // if the launch before ended in between
}

void begin_cluster(const uint3& first_block, const SharedMemory& memory) {
    begin_order_of_cluster();
    begin_regions_of_cluster(memory);
    begin_reports_of_cluster(first_block);
    std::fill(waiting, waiting + order.block_threads * order.blocks, Waiting());
    for (int rank = 0; rank < order.blocks; ++rank) {
        reaches[rank].clear();
        has_ended[rank] = false;
    }
    tries_since_change = 0;
    is_resumed = false;
    forget_copies();
}

void resume_block(const uint3& block, const SharedMemory& memory) {
    begin_cluster(block, memory);
    forget_stretches();  // others ran meanwhile, and may have waited for the grid
    is_resumed = true;
}

void exit_block(int rank) {
    const int first = rank * order.block_threads;
    for (const auto& [thread, reach] : reaches[rank]) {
        bool is_seen = false;
        for (int i = first; i < first + order.block_threads && !is_seen; ++i) {
            is_seen = has_acquired(i, thread, reach.stamp);
        }
        if (!is_seen) {
            report_reach(rank, {false, false, thread, reach.stamp, reach.site});
        }
    }
    has_ended[rank] = true;
}

void end_cluster() { add_up_banks(); }

void exit_thread() {
    tries_since_change = 0;  // who waits need not wait for ever
    settle_suspicions();
}

void begin_atomic(const void* address, size_t bytes, bool overwrites, CodeAddress site) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    const Mode mode = mode_of_atomic();
    if (at % bytes != 0) {
        leave_kernel();
        stop_misaligned(at, bytes, places_in_source({offset_of(site)})[0]);
    }
    if (!is_private(at)) {
        synchronise_at(at);
        if (!overwrites) {
            look_at<false>(at, bytes, mode, offset_of(site));
        }
        const uint64_t tries = tries_since_change;
        look_at<true>(at, bytes, mode, offset_of(site));
        tries_since_change = tries;
    }
}

void end_atomic(const void* address, bool has_changed, CodeAddress site) {
    if (has_changed) {
        tries_since_change = 0;
        waiting[order.thread].address = 0;
    } else {
        try_again(reinterpret_cast<uintptr_t>(address), offset_of(site));
    }
}

void narrow_next_atomic() { is_next_narrow = true; }

void confirm_reads(const void* address, size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    Region* const region = is_private(at) ? nullptr : find_region(at);
    if (region == nullptr) {
        return;
    }
    const auto high = std::min(at + bytes, region->high);
    for (uintptr_t byte = at; byte < high; byte += uintptr_t(1) << region->shift) {
        Cell& cell = region->cell(byte);
        for (int i = 0; i < 2; ++i) {
            Readers& readers = cell.readers[i];
            if (cell.warps[i] == order.warp && readers.stamp >= order.block_start &&
                (readers.lanes & order.lane_bit)) {
                note_confirmed(readers.site);
                readers.lanes &= ~order.lane_bit;
                readers.stamp = readers.lanes != 0 ? readers.stamp : 0;
            }
        }
    }
    forget_suspicions(at, bytes);
}

void see_read(const void* address, size_t bytes, CodeAddress site) {
    access<false>(address, bytes, Mode::plain, site);
}

void begin_copy(const void* destination, const void* source, size_t bytes, CodeAddress site) {
    access<false>(source, bytes, Mode::plain, site);
    access<true>(destination, copy_bytes, Mode::plain, site);
    note_copy(reinterpret_cast<uintptr_t>(destination), offset_of(site));
}

void end_copy(const void* destination, const void* source, size_t bytes, CodeAddress site) {
    forget_copy(reinterpret_cast<uintptr_t>(destination));
    is_copied = true;  // counted when it began
    access<false>(source, bytes, Mode::plain, site);
    access<true>(destination, copy_bytes, Mode::plain, site);
    is_copied = false;
}

void see_write(const void* address, size_t bytes, CodeAddress site) {
    access<true>(address, bytes, Mode::plain, site);
}

void see_bulk_read(const void* address, size_t bytes, CodeAddress site) {
    is_copied = true;
    access<false>(address, bytes, Mode::plain, site);
    is_copied = false;
}

void arrive_at_mbarrier(const void* phase) { release_at(reinterpret_cast<uintptr_t>(phase)); }
void pass_mbarrier(const void* phase) { synchronise_at(reinterpret_cast<uintptr_t>(phase)); }

void begin_bulk_copy(const void* destination, size_t bytes, const void* phase, CodeAddress site) {
    is_copied = true;  // by no warp
    access<true>(destination, bytes, Mode::plain, site);
    is_copied = false;
    for (size_t byte = 0; byte < bytes; byte += copy_bytes) {
        note_copy(reinterpret_cast<uintptr_t>(destination) + byte, offset_of(site));
    }
    arrive_at_mbarrier(phase);
}

void reach_block(int rank, CodeAddress site) {
    if (rank != order.rank) {
        note_reach(rank, offset_of(site));
    }
}

void land_bulk_copy(const void* destination, size_t bytes) {
    forget_copies(reinterpret_cast<uintptr_t>(destination), bytes);
}

void see_atomic_load(const void* address, size_t bytes, CodeAddress site) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    const Mode mode = mode_of_atomic();
    if (!is_private(at)) {
        synchronise_at(at);
        look_at<false>(at, bytes, mode, offset_of(site));
        try_again(at, offset_of(site));
    }
}

}  // namespace check
}  // namespace emulate

// ---- entry points ----

#define HOOK extern "C" __attribute__((visibility("hidden")))
#define SITE __builtin_return_address(0)

using emulate::check::access;
using emulate::check::access_range;
using emulate::check::access_word;
using emulate::check::Mode;

HOOK void __tsan_init() {}
HOOK void __tsan_func_entry(void*) {}
HOOK void __tsan_func_exit() {}
HOOK void __tsan_vptr_read(void**) {}
HOOK void __tsan_vptr_update(void**, void*) {}

#define HOOKS(bytes)                                                                                    \
    HOOK void __tsan_unaligned_read##bytes(void* p) { access<false>(p, bytes, Mode::plain, SITE); }     \
    HOOK void __tsan_unaligned_write##bytes(void* p) { access<true>(p, bytes, Mode::plain, SITE); }     \
    HOOK void __tsan_volatile_read##bytes(void* p) { access<false>(p, bytes, Mode::is_volatile, SITE); } \
    HOOK void __tsan_volatile_write##bytes(void* p) { access<true>(p, bytes, Mode::is_volatile, SITE); } \
    HOOK void __tsan_unaligned_volatile_read##bytes(void* p) {                                          \
        access<false>(p, bytes, Mode::is_volatile, SITE);                                               \
    }                                                                                                   \
    HOOK void __tsan_unaligned_volatile_write##bytes(void* p) {                                         \
        access<true>(p, bytes, Mode::is_volatile, SITE);                                                \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

#define WORD_HOOKS(bytes, Word)                                                    \
    HOOK void __tsan_read##bytes(void* p) { access_word<false, Word>(p, SITE); }   \
    HOOK void __tsan_write##bytes(void* p) { access_word<true, Word>(p, SITE); }
WORD_HOOKS(1, uint8_t)
WORD_HOOKS(2, uint16_t)
WORD_HOOKS(4, uint32_t)
WORD_HOOKS(8, uint64_t)
WORD_HOOKS(16, unsigned __int128)

HOOK void __tsan_read_range(void* p, size_t bytes) { access_range<false>(p, bytes, SITE); }
HOOK void __tsan_write_range(void* p, size_t bytes) { access_range<true>(p, bytes, SITE); }

// Operations of the compiler's own, which std::atomic and cuda::atomic come down to.
template <class T, bool overwrites = false, class Change>
T change_atomically(volatile void* p, int memory_order, emulate::CodeAddress site, Change change) {
    T* const address = static_cast<T*>(const_cast<void*>(p));
    if (emulate::in_kernel) {
        if (memory_order >= __ATOMIC_RELEASE) {
            emulate::check::release_at(uintptr_t(address));
        }
        emulate::check::begin_atomic(address, sizeof(T), overwrites, site);
    }
    const T before = *address;
    *address = change(before);
    if (emulate::in_kernel) {
        emulate::check::end_atomic(address, *address != before, site);
    }
    return before;
}

#define CHANGE(bits, name, expression)                                                          \
    HOOK uint##bits##_t __tsan_atomic##bits##_##name(volatile void* p, uint##bits##_t x, int m) { \
        using T = uint##bits##_t;                                                               \
        return change_atomically<T>(p, m, SITE, [=](T before) { return T(expression); });       \
    }
#define ATOMIC_HOOKS(bits)                                                                      \
    HOOK uint##bits##_t __tsan_atomic##bits##_exchange(volatile void* p, uint##bits##_t x, int m) { \
        using T = uint##bits##_t;                                                               \
        return change_atomically<T, true>(p, m, SITE, [=](T) { return x; });                    \
    }                                                                                           \
    CHANGE(bits, fetch_add, before + x)                                                         \
    CHANGE(bits, fetch_sub, before - x)                                                         \
    CHANGE(bits, fetch_and, before & x)                                                         \
    CHANGE(bits, fetch_or, before | x)                                                          \
    CHANGE(bits, fetch_xor, before ^ x)                                                         \
    CHANGE(bits, fetch_nand, ~(before & x))                                                     \
    HOOK uint##bits##_t __tsan_atomic##bits##_load(const volatile void* p, int) {               \
        using T = uint##bits##_t;                                                               \
        if (emulate::in_kernel) {                                                               \
            emulate::check::see_atomic_load(const_cast<const void*>(p), sizeof(T), SITE);       \
        }                                                                                       \
        return *static_cast<const T*>(const_cast<const void*>(p));                              \
    }                                                                                           \
    HOOK void __tsan_atomic##bits##_store(volatile void* p, uint##bits##_t x, int m) {          \
        using T = uint##bits##_t;                                                               \
        change_atomically<T, true>(p, m, SITE, [=](T) { return x; });                           \
    }                                                                                           \
    HOOK int __tsan_atomic##bits##_compare_exchange_strong(volatile void* p, void* expected,    \
                                                           uint##bits##_t x, int m, int) {      \
        using T = uint##bits##_t;                                                               \
        T& known = *static_cast<T*>(expected);                                                  \
        const T before =                                                                        \
            change_atomically<T>(p, m, SITE, [=](T old) { return old == known ? x : old; });    \
        if (emulate::in_kernel) {                                                               \
            emulate::check::confirm_reads(const_cast<const void*>(p), sizeof(T));               \
        }                                                                                       \
        return before == known ? 1 : (known = before, 0);                                       \
    }                                                                                           \
    HOOK int __tsan_atomic##bits##_compare_exchange_weak(volatile void* p, void* expected,      \
                                                         uint##bits##_t x, int m, int n) {      \
        return __tsan_atomic##bits##_compare_exchange_strong(p, expected, x, m, n);             \
    }
ATOMIC_HOOKS(8)
ATOMIC_HOOKS(16)
ATOMIC_HOOKS(32)
ATOMIC_HOOKS(64)

HOOK void __tsan_atomic_thread_fence(int) {
    if (emulate::in_kernel) {
        emulate::check::fence(emulate::check::Scope::device);
    }
}
HOOK void __tsan_atomic_signal_fence(int) {}

#define COPY(name, real)                                         \
    HOOK void* name(void* to, const void* from, size_t bytes) {  \
        access_range<false>(from, bytes, SITE);                  \
        access_range<true>(to, bytes, SITE);                     \
        return real(to, from, bytes);                            \
    }
#define FILL(name)                                               \
    HOOK void* name(void* to, int value, size_t bytes) {         \
        access<true>(to, bytes, Mode::plain, SITE);              \
        return __real_memset(to, value, bytes);                  \
    }
COPY(__wrap_memcpy, __real_memcpy)
COPY(__wrap_memmove, __real_memmove)
COPY(__tsan_memcpy, __real_memcpy)
COPY(__tsan_memmove, __real_memmove)
FILL(__wrap_memset)
FILL(__tsan_memset)

// The compiler's own record of an access whose type wants more alignment than the address has.
struct MisalignedAccess {
    const char* file;
    uint32_t line, column;
    const void* type;
    unsigned char log_alignment, kind;
};

template <class Record>
std::string place_of(const Record& what) {
    const std::string path = what.file;
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(what.line);
}

HOOK void __ubsan_handle_type_mismatch_v1(const MisalignedAccess* what, uintptr_t address) {
    const size_t alignment = size_t(1) << what->log_alignment;
    if (emulate::in_kernel && address % alignment != 0) {
        emulate::leave_kernel();
        emulate::check::stop_misaligned(address, alignment, place_of(*what));
    }
}

// The same of an index that its array's type does not have.
struct IndexType {
    uint16_t kind, signed_and_log_bits;
    char name[1];  // and more
};
struct WrongIndex {
    const char* file;
    uint32_t line, column;
    const IndexType *array, *index;
};

HOOK void __ubsan_handle_out_of_bounds(const WrongIndex* what, uintptr_t value) {
    if (emulate::in_kernel) {
        emulate::leave_kernel();
        const unsigned kind = what->index->signed_and_log_bits, bits = 1u << (kind >> 1);
        auto index = int64_t(value);
        if ((kind & 1) != 0 && bits < 64) {
            index = int64_t(uint64_t(value) << (64 - bits)) >> (64 - bits);
        }
        emulate::check::stop_wrong_index(index, what->array->name, place_of(*what));
    }
}
