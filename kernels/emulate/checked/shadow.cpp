#include "shadow.h"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <tuple>

#include "../scheduler.h"
#include "report.h"

namespace emulate {
namespace check {

namespace {

// ---- cells ----

// As many as needed, in address space that costs memory only where it is touched. What earlier launches
// left in a cell has their stamps, and counts as nothing.
class Arena {
  public:
    // Between launches: makes room, for as many cells as the regions to come may have.
    void prepare(size_t cells) {
        used_ = 0;
        if (cells <= room_) {
            return;
        }
        forget();
        const size_t room = cells + cells / 2;
        void* memory = mmap(nullptr, room * sizeof(Cell), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::bad_alloc();
        }
        cells_ = static_cast<Cell*>(memory);
        room_ = room;
    }

    // One for each byte, that a region may be refined in its place.
    Cell* take(uintptr_t low, uintptr_t high) {
        Cell* cells = cells_ + used_;
        used_ += cells_of(low, high);
        return cells;
    }

    static size_t cells_of(uintptr_t low, uintptr_t high) { return high - low + 16; }

    void forget() {
        if (cells_ != nullptr) {
            munmap(cells_, room_ * sizeof(Cell));
        }
        cells_ = nullptr;
        room_ = 0;
    }

  private:
    Cell* cells_ = nullptr;
    size_t room_ = 0, used_ = 0;
};

Arena arena;

// ---- the module's own memory ----

// __device__ variables are in its data, which the emulator's own variables share.
struct Module {
    uintptr_t start = 0, end = 0, data = 0, data_end = 0;
};

int note_segments(dl_phdr_info* info, size_t, void* context) {
    Module found;
    found.start = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& segment = info->dlpi_phdr[i];
        const uintptr_t low = info->dlpi_addr + segment.p_vaddr;
        if (segment.p_type != PT_LOAD) {
            continue;
        }
        found.end = std::max(found.end, uintptr_t(low + segment.p_memsz));
        if (segment.p_flags & PF_W) {
            found.data = low;
            found.data_end = low + segment.p_memsz;
        }
    }
    const auto own = reinterpret_cast<uintptr_t>(&arena);
    if (own < found.data || own >= found.data_end) {
        return 0;
    }
    *static_cast<Module*>(context) = found;
    return 1;
}

const Module& module() {
    static const Module found = [] {
        Module result;
        dl_iterate_phdr(note_segments, &result);
        return result;
    }();
    return found;
}

// ---- regions ----

std::vector<GlobalArray> arrays;
bool arrays_are_all = false;
bool knows_arguments = false;
constexpr size_t host_frames = 1 << 20;  // as far as they may lie from the frame that launches

std::vector<Region> regions;  // of global memory, by address, which do not overlap
Region module_region, dynamic_region, static_region;
std::vector<SharedPart> shared_parts;
size_t fixed_bytes = 1;  // of a block's static shared memory
size_t last_part = 0;  // where the last access was

Region region_of(uintptr_t low, uintptr_t high, Kind kind) {
    Region region;
    region.low = low;
    region.high = high;
    region.kind = kind;
    region.cells = arena.take(low, high);
    return region;
}

Region* search(uintptr_t address) {
    auto after = std::upper_bound(regions.begin(), regions.end(), address,
                                  [](uintptr_t a, const Region& r) { return a < r.low; });
    if (after != regions.begin() && after[-1].contains(address)) {
        return &after[-1];
    }
    return module_region.contains(address) ? &module_region : nullptr;
}

std::string size_text(uintptr_t address, const std::string& name, uintptr_t low, uintptr_t high) {
    const std::string has = " of " + name + ", which has " + std::to_string(high - low) + " bytes";
    if (address < low) {
        return std::to_string(low - address) + " bytes before the start" + has;
    }
    if (address < high) {
        return "byte " + std::to_string(address - low) + has;
    }
    return std::to_string(address - high) + " bytes past the end" + has;
}

std::string hexadecimal(uintptr_t address) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%zx", size_t(address));
    return text;
}

uintptr_t distance(uintptr_t address, uintptr_t low, uintptr_t high) {
    return address < low ? low - address : address >= high ? address - high + 1 : 0;
}

}  // namespace

uintptr_t module_start = 0;
uintptr_t arguments = 0;
size_t argument_bytes = 0;
Stretch stretches[stretch_count];

void forget_stretches() { std::fill(stretches, stretches + stretch_count, Stretch()); }


void set_arrays(std::vector<GlobalArray> given, bool are_all) {
    if (is_interrupted()) {
        return;  // for a launch that will be refused
    }
    arrays = std::move(given);
    arrays_are_all = are_all;
}

void set_arguments(const void* address, size_t bytes) {
    arguments = reinterpret_cast<uintptr_t>(address);
    argument_bytes = bytes;
    knows_arguments = true;
}

Region* find_region(uintptr_t address) {
    if (static_region.contains(address)) {
        return &static_region;
    }
    if (dynamic_region.contains(address)) {
        return &dynamic_region;
    }
    return search(address);
}

void refine(Region& region, uintptr_t address, size_t bytes) {
    const unsigned shift = unsigned(__builtin_ctzll(address | bytes | 8));
    const uintptr_t base = region.low & ~uintptr_t(7);
    if (!region.is_touched) {  // nothing is in its cells
        region.shift = std::min(region.shift, shift);
    }
    while (region.shift > shift) {
        for (size_t i = ((region.high - base - 1) >> region.shift) + 1; i-- > 0;) {
            const Cell cell = region.cells[i];
            region.cells[2 * i + 1] = cell;
            region.cells[2 * i] = cell;
        }
        --region.shift;
    }
}

const SharedPart* find_shared_part(uintptr_t address) {
    for (size_t tried = 0; tried < shared_parts.size(); ++tried) {
        const SharedPart& part = shared_parts[last_part];
        if (address - part.low < part.high - part.low) {
            return &part;
        }
        last_part = last_part + 1 < shared_parts.size() ? last_part + 1 : 0;
    }
    return nullptr;
}

std::string describe_place(uintptr_t address) {
    std::string name;
    uintptr_t low = 0, high = 0, nearest = ~uintptr_t(0);
    const auto look = [&](const std::string& candidate, uintptr_t begin, uintptr_t end) {
        const uintptr_t far = distance(address, begin, end);
        if (far < nearest) {
            nearest = far;
            name = candidate;
            low = begin;
            high = end;
        }
    };
    const Region* region = find_region(address);
    if (region == &module_region) {
        for (const Variable& variable : variables_of_module()) {
            const uintptr_t begin = module().start + variable.offset;
            if (address - begin < variable.bytes) {
                return size_text(address, variable.name, begin, begin + variable.bytes);
            }
        }
        return "a variable of the file";
    }
    if (region != nullptr && region->kind == Kind::shared) {
        for (const SharedPart& part : shared_parts) {
            look(part.name, part.low, part.high);
        }
    } else {
        for (const GlobalArray& array : arrays) {
            look(array.name, array.address, array.address + array.bytes);
        }
    }
    return nearest <= 1 << 20 ? size_text(address, name, low, high) : "memory that is no array of the launch, at " + hexadecimal(address);
}

bool is_out_of_bounds(uintptr_t address, bool writes) {
    if (address - module().start < module().end - module().start) {
        return writes;  // constants
    }
    return arrays_are_all && address - arguments >= argument_bytes;
}

void begin_regions_of_launch(const void* frame) {
    module_start = module().start;
    if (order.now > most_stamps) {
        arena.forget();
        order = Order();
    }
    if (!knows_arguments) {
        arguments = reinterpret_cast<uintptr_t>(frame);
        argument_bytes = host_frames;
    }
    struct Range {
        uintptr_t low, high;
        unsigned char* written;
    };
    std::vector<Range> ranges;
    for (const GlobalArray& array : arrays) {
        if (array.bytes > 0 && !array.is_gone) {
            ranges.push_back({array.address, array.address + array.bytes, array.written});
        }
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
        return std::tie(a.low, a.high) < std::tie(b.low, b.high);
    });
    size_t count = 0;  // of those that do not overlap
    for (const Range& range : ranges) {
        if (count > 0 && range.low < ranges[count - 1].high) {
            ranges[count - 1].high = std::max(ranges[count - 1].high, range.high);
            ranges[count - 1].written = nullptr;
        } else {
            ranges[count++] = range;
        }
    }
    ranges.resize(count);
    size_t cells = Arena::cells_of(module().data, module().data_end) +
                   max_blocks_of_cluster * (Arena::cells_of(0, 4 * max_static_shared_bytes) +
                                            Arena::cells_of(0, 2 * max_shared_bytes));
    for (const Range& range : ranges) {
        cells += Arena::cells_of(range.low, range.high);
    }
    arena.prepare(cells);
    regions.clear();
    for (const Range& range : ranges) {
        regions.push_back(region_of(range.low, range.high, Kind::global));
        regions.back().written = range.written;
    }
    module_region = region_of(module().data, module().data_end, Kind::module);
    forget_stretches();
    dynamic_region = Region();
    static_region = Region();
}

void begin_regions_of_cluster(const SharedMemory& memory) {
    const auto blocks = size_t(memory.blocks);
    const auto fixed = uintptr_t(memory.fixed), sized = uintptr_t(memory.sized);
    fixed_bytes = memory.fixed_bytes;
    if (static_region.cells == nullptr) {
        // Of as many blocks as there may be: what a pointer finds there is no variable of the module.
        static_region = region_of(fixed - before_shared, fixed + max_blocks_of_cluster * memory.fixed_bytes,
                                  Kind::shared);
        dynamic_region = region_of(sized - before_shared, sized + max_blocks_of_cluster * memory.sized_bytes,
                                   Kind::shared);
    }
    if (!shared_parts.empty()) {
        forget_stretches();
    }
    shared_parts.clear();
    last_part = 0;
    for (size_t rank = 0; rank < blocks && memory.declared_bytes > 0; ++rank) {
        const uintptr_t low = sized + rank * memory.sized_bytes;
        shared_parts.push_back({"dynamic shared memory", low, low + memory.declared_bytes, int(rank)});
    }
}

void place_shared_array(const char* name, void* address, size_t bytes) {
    const auto low = reinterpret_cast<uintptr_t>(address);
    const uintptr_t first = static_region.low + before_shared;
    shared_parts.push_back({name, low, low + bytes, int((low - first) / fixed_bytes)});
}

}  // namespace check
}  // namespace emulate
