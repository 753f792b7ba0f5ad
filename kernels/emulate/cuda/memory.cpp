// Memory of the emulated device. Each allocation has address space of its own around it, in which nothing
// else ever lies, also after it was freed: an address tells what was meant.
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "../symbols.h"
#include "program.h"

namespace emulate {
namespace cuda {

namespace {

constexpr size_t room = 64 * 1024;  // at least, before and behind
constexpr size_t most_bytes = size_t(16) << 30;
constexpr size_t most_gone = 1000;

struct Allocation {
    size_t bytes;
    Memory memory;
    std::string name;
    unsigned char* written;  // one for each byte that was; null: nobody asks
    bool is_gone;
};

std::map<uintptr_t, Allocation> allocations;
std::mutex in_use;  // of allocations, which any thread of the host may look at while another adds some
std::deque<uintptr_t> gone;  // the oldest first
size_t bytes_in_use = 0;
bool changed = true;

std::string place(const char* file, int line) {
    const char* name = std::strrchr(file, '/');
    return std::string(name != nullptr ? name + 1 : file) + ":" + std::to_string(line);
}

unsigned char* reserve(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<unsigned char*>(memory);
}

// The allocation that an address is in, or null.
Allocation* find(const void* pointer, size_t* offset) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) {
        return nullptr;
    }
    --after;
    *offset = address - after->first;
    const bool inside = *offset < std::max<size_t>(after->second.bytes, 1);
    return inside && !after->second.is_gone ? &after->second : nullptr;
}

#ifdef TAPEGRAD_CHECKED

thread_local volatile bool copies = false;  // the host's access is a copy to or from the device (memcpy may look)
uintptr_t lowest = ~uintptr_t(0), highest = 0;  // of all that was ever allocated
std::set<CodeAddress> told;

// On a GPU it is a segmentation fault.
void see_host_access(uintptr_t address, size_t, bool writes, CodeAddress site) {
    if (address < lowest || address >= highest || copies) {
        return;
    }
    const std::lock_guard<std::mutex> lock(in_use);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) {
        return;
    }
    const Allocation& found = (--after)->second;
    const size_t offset = address - after->first;
    if (found.memory == Memory::device && offset < found.bytes && told.insert(site).second) {
        report(std::string("the host ") + (writes ? "writes" : "reads") + " byte " + std::to_string(offset) +
               " of " + found.name + ", which has " + std::to_string(found.bytes) + " bytes, at " +
               place_in_source(static_cast<const char*>(site) - 1) +
               "\n    only kernels can: on a GPU it is a segmentation fault; cudaMemcpy copies it");
    }
}

struct Copying {
    Copying() { copies = true; }
    ~Copying() { copies = false; }
};

#else

struct Copying {
    Copying() {}
};

#endif

// Whether so many bytes are all of one allocation, or all the host's.
bool is_range(const void* pointer, size_t bytes, Allocation*& found, size_t& offset) {
    found = find(pointer, &offset);
    return found == nullptr || bytes <= found->bytes - offset;
}

void note_written(Allocation* allocation, size_t offset, size_t bytes, const unsigned char* like) {
    if (allocation == nullptr || allocation->written == nullptr) {
        return;
    }
    if (like != nullptr) {
        std::memmove(allocation->written + offset, like, bytes);
    } else {
        std::memset(allocation->written + offset, 1, bytes);
    }
}

bool fits(cudaMemcpyKind kind, const Allocation* to, const Allocation* from) {
    const auto is_on_device = [](const Allocation* a) { return a != nullptr && a->memory == Memory::device; };
    switch (kind) {
        case cudaMemcpyHostToHost:
            return !is_on_device(to) && !is_on_device(from);
        case cudaMemcpyHostToDevice:
            return !is_on_device(from);
        case cudaMemcpyDeviceToHost:
            return !is_on_device(to);
        default:
            return true;
    }
}

}  // namespace

cudaError_t allocate(void** pointer, size_t bytes, Memory memory, const char* file, int line) {
    if (failing()) {
        return status();
    }
    if (pointer == nullptr) {
        return note(cudaErrorInvalidValue);
    }
    *pointer = nullptr;
    if (bytes == 0) {
        return cudaSuccess;
    }
    if (bytes > most_bytes - bytes_in_use) {
        return note(cudaErrorMemoryAllocation);
    }
    // As much room as it has bytes: an index that is twice too large leads nowhere else.
    const size_t around = (room + bytes + 4095) / 4096 * 4096;
    unsigned char* reserved = reserve(around + bytes + around);
    if (reserved == nullptr) {
        return note(cudaErrorMemoryAllocation);
    }
#ifdef TAPEGRAD_CHECKED
    const bool is_asked = memory == Memory::device;  // the host may write others at any time
#else
    const bool is_asked = false;
#endif
    unsigned char* data = reserved + around;
    const char* kinds[] = {"cudaMalloc", "cudaMallocManaged", "cudaMallocHost"};
    const std::lock_guard<std::mutex> lock(in_use);
    allocations[reinterpret_cast<uintptr_t>(data)] = {
        bytes, memory, std::string("the memory of ") + kinds[int(memory)] + " at " + place(file, line),
        is_asked ? reserve(bytes) : nullptr, false};
    bytes_in_use += bytes;
    changed = true;
#ifdef TAPEGRAD_CHECKED
    lowest = std::min(lowest, reinterpret_cast<uintptr_t>(data));
    highest = std::max(highest, reinterpret_cast<uintptr_t>(data) + bytes);
    check::set_host_watch(see_host_access);
#endif
    *pointer = data;
    return cudaSuccess;
}

cudaError_t release(void* pointer, const char* file, int line) {
    if (pointer == nullptr || failing()) {
        return status();
    }
    size_t offset;
    Allocation* found = find(pointer, &offset);
    if (found == nullptr || offset != 0) {
        remark("cudaFree at " + place(file, line) + " of an address that cudaMalloc did not give, or twice");
        return note(cudaErrorInvalidValue);
    }
    const std::lock_guard<std::mutex> lock(in_use);
    found->name += ", freed at " + place(file, line);
    found->is_gone = true;
    madvise(pointer, found->bytes, MADV_DONTNEED);
    if (found->written != nullptr) {
        munmap(found->written, found->bytes);
        found->written = nullptr;
    }
    bytes_in_use -= found->bytes;
    changed = true;
    gone.push_back(reinterpret_cast<uintptr_t>(pointer));
    if (gone.size() > most_gone) {  // the oldest need no name
        allocations.erase(gone.front());
        gone.pop_front();
    }
    return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (failing() || bytes == 0) {
        return status();
    }
    Allocation *target, *source;
    size_t to_offset = 0, from_offset = 0;
    if (to == nullptr || from == nullptr || !is_range(to, bytes, target, to_offset) ||
        !is_range(from, bytes, source, from_offset) || !fits(kind, target, source)) {
        remark("a copy of " + std::to_string(bytes) +
               " bytes was refused: it is longer than what cudaMalloc gave, or its direction is wrong");
        return note(cudaErrorInvalidValue);
    }
    const Copying copying;
    std::memmove(to, from, bytes);
    const bool like = source != nullptr && source->written != nullptr;
    note_written(target, to_offset, bytes, like ? source->written + from_offset : nullptr);
    return cudaSuccess;
}

cudaError_t copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                      size_t height, cudaMemcpyKind kind) {
    for (size_t row = 0; row < height; ++row) {
        const cudaError_t error = copy(static_cast<char*>(to) + row * to_pitch,
                                       static_cast<const char*>(from) + row * from_pitch, width, kind);
        if (error != cudaSuccess) {
            return error;
        }
    }
    return status();
}

cudaError_t fill(void* to, int value, size_t bytes) {
    if (failing() || bytes == 0) {
        return status();
    }
    Allocation* target;
    size_t offset = 0;
    if (!is_range(to, bytes, target, offset) || target == nullptr) {
        remark("cudaMemset of " + std::to_string(bytes) + " bytes was refused: cudaMalloc gave no so many");
        return note(cudaErrorInvalidValue);
    }
    const Copying copying;
    std::memset(to, value, bytes);
    note_written(target, offset, bytes, nullptr);
    return cudaSuccess;
}

void tell_checks() {
#ifdef TAPEGRAD_CHECKED
    if (!changed) {
        return;
    }
    std::vector<check::GlobalArray> arrays;
    for (const auto& entry : allocations) {
        const Allocation& a = entry.second;
        arrays.push_back({entry.first, a.bytes, a.name, a.written, a.is_gone});
    }
    check::set_arrays(std::move(arrays), true);
    changed = false;
#endif
}

}  // namespace cuda
}  // namespace emulate
