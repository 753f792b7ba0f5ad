// Shadow memory: for every few bytes of the arrays that a kernel may reach, who wrote them last and who
// read them since. Bytes share a cell as long as every access takes all of them: a region begins with
// cells of 8 bytes and is refined where accesses are smaller.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "order.h"

#pragma GCC visibility push(hidden)

namespace emulate {
namespace check {

// The distance of an address in the code from the module's beginning.
using SiteOffset = uint32_t;

// Lanes of one warp that read the cell at one stamp.
struct Readers {
    Stamp stamp;  // before the launch: nobody
    SiteOffset site;
    unsigned lanes;
};

struct Cell {
    Stamp write;
    SiteOffset write_site;
    Readers readers[2];  // the last, and others that these need not have seen
    uint16_t writer;     // the thread, and how far its access was atomic
    uint8_t warps[2];    // of the readers
};

constexpr uint16_t atomic_write = 0x8000;
constexpr uint16_t atomic_in_block = 0x4000;  // and nowhere else

enum class Kind : uint8_t { global, shared, module };

struct Region {
    uintptr_t low = 0, high = 0;
    Cell* cells = nullptr;
    unsigned shift = 3;  // a cell has 1 << shift bytes
    Kind kind = Kind::global;
    bool is_touched = false;  // in this launch
    unsigned char* written = nullptr;  // of each byte, whether somebody wrote it; null: it is not asked

    bool contains(uintptr_t address) const { return address - low < high - low; }
    Cell& cell(uintptr_t address) { return cells[(address - (low & ~uintptr_t(7))) >> shift]; }
};

// The region that contains an address, or null.
Region* find_region(uintptr_t address);

// An array as it was found last, by its address: what is within it is found by that alone.
struct Stretch {
    uintptr_t low = 0, high = 0;
    Region* region = nullptr;
    Stamp floor = 0;  // what is before it counts as nothing

    bool contains(uintptr_t address, size_t bytes) const {
        return address >= low && address + bytes <= high;
    }
};
constexpr size_t stretch_count = 256;
extern Stretch stretches[stretch_count];
inline Stretch& stretch_at(uintptr_t address) { return stretches[address / 256 % stretch_count]; }
void forget_stretches();

// Makes a region's cells so small that these accesses take whole ones.
void refine(Region& region, uintptr_t address, size_t bytes);

// The part of shared memory that may be accessed at this address: one array of a kernel, or the dynamic
// shared memory. Null: none is there.
struct SharedPart {
    const char* name;
    uintptr_t low, high;
    int rank;  // of its block in the cluster
};
const SharedPart* find_shared_part(uintptr_t address);

// "byte 12 of x, which has 400", "byte 4 past the end of x, which has 400".
std::string describe_place(uintptr_t address);

// Where the host keeps the arguments of the launch, which kernels read all the time.
extern uintptr_t arguments;
extern size_t argument_bytes;
constexpr size_t bytes_of_a_frame = 4096;
inline bool is_argument(uintptr_t address) {
    return address - arguments < argument_bytes && address - arguments < bytes_of_a_frame;
}

// Whether an address that is in no region is one that a kernel must not access.
bool is_out_of_bounds(uintptr_t address, bool writes);

void begin_regions_of_launch(const void* host_frame);
void begin_regions_of_cluster(const SharedMemory& memory);

extern uintptr_t module_start;  // known while a kernel runs

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
