#include "wgmma.h"

#include <algorithm>
#include <array>
#include <vector>

#include "async_proxy.h"
#include "block.h"
#include "bulk_copies.h"
#include "errors.h"
#include "scheduler.h"
#include "tensor_map.h"

namespace emulate {

namespace {

constexpr int group_warps = 4, warp_rows = 16, pack_elements = 8;

// ---- matrices in shared memory ----

using MatrixPack = std::array<uint16_t, pack_elements>;

// A matrix descriptor (PTX ISA, "Matrix Descriptor Format"), of lines (rows of a, columns of b) and 16
// along k. `leading` and `stride` are offsets between groups of packs; what they separate depends on
// the layout.
struct Descriptor {
    unsigned start, leading, stride, base_offset;
    Swizzle swizzle;

    explicit Descriptor(uint64_t bits)
        : start(unsigned(bits & 0x3FFF) << 4),
          leading(unsigned(bits >> 16 & 0x3FFF) << 4),
          stride(unsigned(bits >> 32 & 0x3FFF) << 4),
          base_offset(unsigned(bits >> 49 & 7)),
          swizzle(bits >> 62 == 0 ? Swizzle::none : Swizzle(4 - int(bits >> 62))) {}

    // Where the pack is that has the element, of eight neighbours along k, or across it, of lines. Eight packs
    // that follow each other across what they run along are a group: a span apart, or 16 bytes.
    unsigned pack(int line, int k, bool across_k) const {
        const unsigned span = unsigned(span_of(swizzle));
        unsigned offset;
        if (!across_k) {
            offset = unsigned(line / 8) * stride;
            offset += span == 0 ? unsigned(line % 8) * 16 + unsigned(k / 8) * leading
                                : unsigned(line % 8) * span + unsigned(k / 8) * 16;
        } else if (span == 0) {
            offset = unsigned(line / 8) * stride + unsigned(k / 8) * leading + unsigned(k % 8) * 16;
        } else {
            const int lines_of_span = int(span / 2);
            offset = unsigned(line / lines_of_span) * leading + unsigned(k / 8) * stride +
                     unsigned(k % 8) * span + unsigned(line % lines_of_span / 8) * 16;
        }
        return swizzled(start + offset, swizzle);
    }
};

// Of one warp's product: what it reads, as it was when it began.
struct MatrixInFlight {
    uint64_t descriptor;
    int first_line, lines;
    bool across_k;
    std::vector<MatrixPack> packs;
    int group;
    Site site;

    int pack_count() const { return lines * wgmma_depth / pack_elements; }
    unsigned char* pack(const Descriptor& d, int index) const {
        const int line = across_k ? index / wgmma_depth * pack_elements : index / 2;
        const int k = across_k ? index % wgmma_depth : index % 2 * pack_elements;
        return at_shared_window(d.pack(first_line + line, k, across_k), current_rank);
    }
    void read() {
        const Descriptor d(descriptor);
        packs.resize(size_t(pack_count()));
        for (int i = 0; i < pack_count(); ++i) {
            std::memcpy(packs[size_t(i)].data(), pack(d, i), sizeof(MatrixPack));
        }
    }
    bool is_unchanged() const {
        const Descriptor d(descriptor);
        for (int i = 0; i < pack_count(); ++i) {
            if (std::memcmp(packs[size_t(i)].data(), pack(d, i), sizeof(MatrixPack)) != 0) {
                return false;
            }
        }
        return true;
    }
    uint16_t element(int line, int k) const {
        return across_k ? packs[size_t(line / pack_elements * wgmma_depth + k)][size_t(line % pack_elements)]
                        : packs[size_t(line * 2 + k / pack_elements)][size_t(k % pack_elements)];
    }
};

// ---- products under way ----

struct AccumulatorsInFlight {
    float* d[warpSize];
    int columns, group;
    std::vector<float> sums;  // warp_rows x columns
    Site site;

    float& sum(int lane, int i) {  // the i-th of a lane
        const int row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        return sums[size_t(row * columns + column)];
    }
};

struct WarpProducts {
    bool is_fenced;
    int group, begun;
    std::vector<AccumulatorsInFlight> accumulators;
    std::vector<MatrixInFlight> matrices;
};

struct BegunProduct {
    uint64_t a, b;
    int variant;
    Site site;
};

WarpProducts products[max_warps];
std::vector<BegunProduct> begun_by_first[max_warps];  // by warpgroups, in order

// The first of its warpgroup.
int first_warp(int warp) { return warp - warp_in_block(warp) % group_warps; }

int variant_of(const Wgmma& w) {
    return ((((w.columns * 4 + int(w.type)) * 2 + w.a_across_k) * 2 + w.b_across_k) * 2 + w.adds) * 2 +
           w.a_in_registers;
}

struct ProductOfThread {
    const Wgmma* what;
    float* d;
    uint64_t a, b;
    Site site;
    const unsigned* registers = nullptr;  // of a, where it is there
};

const uint32_t in_flight_bits = 0xFFFFFFFFu;

void check_same_in_group(const ProductOfThread& mine, int warp) {
    std::vector<BegunProduct>& all = begun_by_first[first_warp(warp)];
    const size_t index = size_t(products[warp].begun++);
    const BegunProduct own{mine.a, mine.b, variant_of(*mine.what), mine.site};
    if (index == all.size()) {
        all.push_back(own);
        return;
    }
    const BegunProduct& other = all[index];
    if (other.a != own.a || other.b != own.b || other.variant != own.variant) {
        fail("wgmma at " + place(own.site) + " differs from that of another warp of its warpgroup at " +
             place(other.site) + ": all four begin the same");
    }
}

AccumulatorsInFlight& accumulators_of(void* const* lanes, int warp, const ProductOfThread& mine) {
    WarpProducts& own = products[warp];
    const auto of_lane = [&](int lane) { return static_cast<const ProductOfThread*>(lanes[lane]); };
    for (AccumulatorsInFlight& flight : own.accumulators) {
        if (flight.d[0] == mine.d) {
            if (flight.columns != mine.what->columns) {
                fail("wgmma at " + place(mine.site) + " adds " + std::to_string(mine.what->columns) +
                     " columns to sums of " + std::to_string(flight.columns) + " that are under way");
            }
            return flight;
        }
    }
    if (!own.is_fenced) {
        fail("wgmma at " + place(mine.site) +
             " uses accumulators that no wgmma_fence() has handed over since the last wait");
    }
    own.accumulators.push_back({{}, mine.what->columns, 0, {}, mine.site});
    AccumulatorsInFlight& flight = own.accumulators.back();
    flight.sums.resize(size_t(warp_rows * flight.columns));
    for (int lane = 0; lane < warpSize; ++lane) {
        flight.d[lane] = of_lane(lane)->d;
        for (int i = 0; i < flight.columns / 2; ++i) {
            flight.sum(lane, i) = flight.d[lane][i];
            std::memcpy(&flight.d[lane][i], &in_flight_bits, sizeof(float));
        }
    }
    return flight;
}

void multiply_into(AccumulatorsInFlight& flight, const MatrixInFlight& a, const MatrixInFlight& b,
                   const Wgmma& what) {
    MmaOperands operands;
    for (int row = 0; row < warp_rows; ++row) {
        for (int k = 0; k < wgmma_depth; ++k) {
            operands.a[row][k] = a.element(row, k);
        }
    }
    for (int first = 0; first < what.columns; first += mma_columns) {
        for (int k = 0; k < wgmma_depth; ++k) {
            for (int column = 0; column < mma_columns; ++column) {
                operands.b[k][column] = b.element(first + column, k);
            }
        }
        for (int row = 0; row < warp_rows; ++row) {
            float* sums = &flight.sums[size_t(row * what.columns + first)];
            for (int column = 0; column < mma_columns; ++column) {
                operands.c[row][column] = what.adds ? sums[column] : 0.0f;
            }
        }
        multiply(operands, what.type, wgmma_depth, hopper);
        for (int row = 0; row < warp_rows; ++row) {
            std::copy(operands.c[row], operands.c[row] + mma_columns,
                      &flight.sums[size_t(row * what.columns + first)]);
        }
    }
}

MatrixInFlight matrix_of(uint64_t descriptor, int first_line, int lines, bool across_k, int group, Site site) {
    return {descriptor, first_line, lines, across_k, {}, group, site};
}

void read_shared(MatrixInFlight& matrix) {
    const Descriptor d(matrix.descriptor);
    for (int i = 0; i < matrix.pack_count(); ++i) {
        const unsigned char* const pack = matrix.pack(d, i);
        require_dynamic_shared(pack, sizeof(MatrixPack), "wgmma", matrix.site);
        require_landed(pack, sizeof(MatrixPack), "wgmma", matrix.site);
        require_published(pack, sizeof(MatrixPack), "wgmma", matrix.site);
        require_swizzle(pack, d.swizzle, "wgmma", matrix.site);
    }
    matrix.read();
}

void take_registers(MatrixInFlight& a, void* const* lanes) {
    a.packs.resize(size_t(a.pack_count()));
    for (int lane = 0; lane < warpSize; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const unsigned pair = static_cast<const ProductOfThread*>(lanes[lane])->registers[i];
            const int row = lane / 4 + i % 2 * 8, k = lane % 4 * 2 + i / 2 * 8;
            std::memcpy(&a.packs[size_t(row * 2 + k / pack_elements)][size_t(k % pack_elements)], &pair, sizeof pair);
        }
    }
}

void begin_together(void* const* lanes) {
    const auto& mine = *static_cast<const ProductOfThread*>(lanes[0]);
    for (int lane = 1; lane < warpSize; ++lane) {
        const auto& other = *static_cast<const ProductOfThread*>(lanes[lane]);
        if (other.a != mine.a || other.b != mine.b) {
            fail("wgmma at " + place(mine.site) + ": the descriptors of lane " + std::to_string(lane) +
                 " are not those of lane 0");
        }
    }
    const int warp = current / warpSize;
    WarpProducts& own = products[warp];
    check_same_in_group(mine, warp);
    const Wgmma& what = *mine.what;
    MatrixInFlight a = matrix_of(mine.a, (warp - first_warp(warp)) * warp_rows, warp_rows, what.a_across_k,
                                 own.group, mine.site);
    MatrixInFlight b = matrix_of(mine.b, 0, what.columns, what.b_across_k, own.group, mine.site);
    if (what.a_in_registers) {
        take_registers(a, lanes);
    } else {
        read_shared(a);
    }
    read_shared(b);
    AccumulatorsInFlight& flight = accumulators_of(lanes, warp, mine);
    flight.group = own.group;
    multiply_into(flight, a, b, what);
    if (!what.a_in_registers) {
        own.matrices.push_back(std::move(a));
    }
    own.matrices.push_back(std::move(b));
}

void fence_together(void* const*) { products[current / warpSize].is_fenced = true; }
void commit_together(void* const*) { ++products[current / warpSize].group; }

struct WaitOfThread {
    int groups_left;
    Site site;
};

void wait_together(void* const* lanes) {
    const auto& mine = *static_cast<const WaitOfThread*>(lanes[0]);
    WarpProducts& own = products[current / warpSize];
    const int due = own.group - mine.groups_left;
    for (const MatrixInFlight& matrix : own.matrices) {
        if (matrix.group < due && !matrix.is_unchanged()) {
            fail("a matrix that wgmma at " + place(matrix.site) +
                 " reads was changed before the wait at " + place(mine.site));
        }
    }
    const auto is_due = [=](const auto& flight) { return flight.group < due; };
    own.matrices.erase(std::remove_if(own.matrices.begin(), own.matrices.end(), is_due), own.matrices.end());
    for (AccumulatorsInFlight& flight : own.accumulators) {
        if (!is_due(flight)) {
            continue;
        }
        own.is_fenced = false;
        for (int lane = 0; lane < warpSize; ++lane) {
            for (int i = 0; i < flight.columns / 2; ++i) {
                if (std::memcmp(&flight.d[lane][i], &in_flight_bits, sizeof(float)) != 0) {
                    fail("an accumulator of wgmma at " + place(flight.site) +
                         " was changed before the wait at " + place(mine.site));
                }
                flight.d[lane][i] = flight.sum(lane, i);
            }
        }
    }
    own.accumulators.erase(std::remove_if(own.accumulators.begin(), own.accumulators.end(), is_due),
                           own.accumulators.end());
}

void check_descriptor(uint64_t bits, Site site) {
    const Descriptor d(bits);
    if (d.base_offset != 0) {
        fail("wgmma at " + place(site) + ": a descriptor with a base offset, which is not emulated");
    }
    // Along k the start may move on within a span, but not to another of the rows that a pattern has.
    const unsigned pattern = pattern_of(d.swizzle), span = unsigned(span_of(d.swizzle));
    if (span != 0 && d.start % pattern >= span) {
        fail("wgmma at " + place(site) + ": a swizzled matrix begins at a multiple of " +
             std::to_string(pattern) + " bytes of shared memory, not at " + std::to_string(d.start));
    }
}

void begin(ProductOfThread mine) {
    if (&tensor_cores() != &hopper) {
        fail("wgmma at " + place(mine.site) + ": " + tensor_cores().name + " has none");
    }
    check_descriptor(mine.b, mine.site);
    meet_together({"wgmma", begin_together, variant_of(*mine.what)}, &mine, mine.site);
}

}  // namespace

void begin_wgmma(const Wgmma& what, float* d, uint64_t a, uint64_t b, Site site) {
    note_code(site, __builtin_return_address(0));
    check_descriptor(a, site);
    begin({&what, d, a, b, site});
}

void begin_wgmma_of_registers(const Wgmma& what, float* d, const unsigned* a, uint64_t b, Site site) {
    note_code(site, __builtin_return_address(0));
    begin({&what, d, 0, b, site, a});
}

void fence_wgmma(Site site) { meet_together({"wgmma.fence", fence_together, 0}, nullptr, site); }
void commit_wgmma(Site site) { meet_together({"wgmma.commit_group", commit_together, 0}, nullptr, site); }
void wait_for_wgmma(int groups_left, Site site) {
    WaitOfThread mine{groups_left, site};
    meet_together({"wgmma.wait_group", wait_together, groups_left}, &mine, site);
}

void begin_wgmma_of_block() {
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        products[warp] = WarpProducts();
        begun_by_first[warp].clear();
    }
}

void require_no_wgmma(int thread) {
    const WarpProducts& own = products[thread / warpSize];
    if (!own.accumulators.empty()) {
        fail("exits without having waited for a product that it began at " +
             place(own.accumulators.front().site));
    }
}

void require_same_wgmma() {
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        const int first = first_warp(warp);
        if (products[warp].begun != products[first].begun) {
            enter_block(rank_of(warp * warpSize));
            fail_in_block("", "warps " + std::to_string(first) + " and " + std::to_string(warp) +
                                  " of a warpgroup have begun " + std::to_string(products[first].begun) +
                                  " and " + std::to_string(products[warp].begun) +
                                  " products: all four warps begin each wgmma");
        }
    }
}

}  // namespace emulate
