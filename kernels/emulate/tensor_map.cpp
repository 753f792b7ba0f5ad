#include "tensor_map.h"

namespace emulate {

void check_tensor_map(const TensorMap& map) {
    const auto refuse = [](const std::string& why) { throw KernelError("tensor map: " + why); };
    if (map.rank < 1 || map.rank > most_tensor_rank) {
        refuse("it has " + std::to_string(map.rank) + " dimensions; it can be 1 to 5");
    }
    if (reinterpret_cast<uintptr_t>(map.base) % 16 != 0) {
        refuse("the array's address is not a multiple of 16");
    }
    for (int i = 0; i < map.rank; ++i) {
        const std::string of = " of dimension " + std::to_string(i);
        if (map.sizes[i] < 1 || map.sizes[i] > uint64_t(1) << 32) {
            refuse("size " + std::to_string(map.sizes[i]) + of + "; it can be 1 to 2^32");
        }
        if (i > 0 && (map.strides[i] % 16 != 0 || map.strides[i] >= uint64_t(1) << 40)) {
            refuse("stride " + std::to_string(map.strides[i]) + of +
                   "; it must be a multiple of 16 bytes, below 2^40");
        }
        if (map.box[i] < 1 || map.box[i] > 256) {
            refuse("box " + std::to_string(map.box[i]) + of + "; it can be 1 to 256");
        }
    }
    const int inner = map.box[0] * int(map.strides[0]), span = span_of(map.swizzle);
    if (inner % 16 != 0) {
        refuse("the box has rows of " + std::to_string(inner) + " bytes, which is not a multiple of 16");
    }
    if (span != 0 && inner > span) {
        refuse("the box has rows of " + std::to_string(inner) + " bytes, more than the " +
               std::to_string(span) + " of the swizzle");
    }
    if (span != 0 && inner < span) {
        refuse("the box has rows of " + std::to_string(inner) + " bytes, less than the " +
               std::to_string(span) + " of the swizzle, which is not emulated");
    }
}

}  // namespace emulate
