#include "tensor.h"

#include "errors.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulate {

namespace {

// ---- ldmatrix ----

constexpr int matrix_rows = 8;

struct LoadOfLane {
    unsigned* registers;
    int count;
    bool transposed;
    const char* row;
};

// Lane t gets of each matrix the elements (t / 4, 2 (t % 4)) and (t / 4, 2 (t % 4) + 1); transposed,
// those of the transpose.
void load_together(void* const* lanes) {
    const auto of_lane = [&](int lane) { return static_cast<const LoadOfLane*>(lanes[lane]); };
    const LoadOfLane& first = *of_lane(0);
    for (int lane = 0; lane < warpSize; ++lane) {
        for (int matrix = 0; matrix < first.count; ++matrix) {
            uint16_t pair[2];
            for (int i = 0; i < 2; ++i) {
                const int along = lane / 4, across = 2 * (lane % 4) + i;
                const int row = first.transposed ? across : along;
                const int column = first.transposed ? along : across;
                std::memcpy(&pair[i], of_lane(matrix_rows * matrix + row)->row + 2 * column, 2);
            }
            of_lane(lane)->registers[matrix] = pair[0] | unsigned(pair[1]) << 16;
        }
    }
}

// ---- mma.sync ----

struct ProductOfLane {
    float* d;
    const unsigned *a, *b;
    Multiplicand type;
};

// With 2 of 16 bits in a register, or 1 of 32: lane t has in register 0 of a row t / 4 and columns from
// w (t % 4) on, where w is how many; in 1 row t / 4 + 8, in 2 and 3 the same 4 w columns further. b's
// registers are as a's 0 and 2, of b's transpose.
void multiply_together(void* const* lanes) {
    const auto of_lane = [&](int lane) { return static_cast<const ProductOfLane*>(lanes[lane]); };
    const Multiplicand type = of_lane(0)->type;
    const int width = type == Multiplicand::tfloat32 ? 1 : 2;
    const auto element = [&](unsigned bits, int i) {
        return width == 1 ? bits : (bits >> (16 * i)) & 0xFFFFu;
    };
    MmaOperands operands;
    for (int lane = 0; lane < warpSize; ++lane) {
        const ProductOfLane& mine = *of_lane(lane);
        const int row = lane / 4, first = width * (lane % 4);
        for (int i = 0; i < width; ++i) {
            for (int half_depth = 0; half_depth < 2; ++half_depth) {
                const int k = first + 4 * width * half_depth + i;
                operands.a[row][k] = element(mine.a[2 * half_depth], i);
                operands.a[row + 8][k] = element(mine.a[2 * half_depth + 1], i);
                operands.b[k][row] = element(mine.b[half_depth], i);
            }
        }
        for (int i = 0; i < 4; ++i) {
            operands.c[row + i / 2 * 8][2 * (lane % 4) + i % 2] = mine.d[i];
        }
    }
    multiply(operands, type, 8 * width, tensor_cores());
    for (int lane = 0; lane < warpSize; ++lane) {
        for (int i = 0; i < 4; ++i) {
            of_lane(lane)->d[i] = operands.c[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
        }
    }
}

}  // namespace

void load_matrices(unsigned* registers, int count, bool transposed, const void* row, Site site) {
    note_code(site, __builtin_return_address(0));
    const bool is_looked_at = running_thread() % warpSize < matrix_rows * count;
    if (is_looked_at) {
        require_16_byte_alignment(row);
        if (!is_shared(row)) {
            fail("ldmatrix at " + place(site) + " reads memory that is not shared memory");
        }
        check::see_read(row, 16, site.code);
    }
    LoadOfLane mine{registers, count, transposed, static_cast<const char*>(row)};
    meet_together({"ldmatrix", load_together, count * 2 + transposed}, &mine, site);
}

void multiply_fragments(float* d, const unsigned* a, const unsigned* b, Multiplicand type, Site site) {
    note_code(site, __builtin_return_address(0));
    ProductOfLane mine{d, a, b, type};
    meet_together({"mma.sync", multiply_together, int(type)}, &mine, site);
}

}  // namespace emulate
