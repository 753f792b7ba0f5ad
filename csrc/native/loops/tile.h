// Tiles of sums of products, which fill the registers, and places gathered for them. Included within a
// namespace, behind convolution.h.

// sums (rows, places) = or += weights (depth, rows) times what lies at the offsets from each vector's start
template <int rows>
void multiply(const float* weights, const int32_t* offsets, int64_t depth,
              const float* const* starts, float* sums, bool first) {
    Vector tile[rows][vectors] = {};
    const float* from[vectors];
    for (int v = 0; v < vectors; ++v) {
        from[v] = starts[v];
    }
    for (int64_t k = 0; k < depth; ++k) {
        Vector x[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            x[v] = at(from[v] + offsets[k]);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const float weight = weights[k * rows + r];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                tile[r][v] += weight * x[v];
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            Vector& sum = at(sums + (r * vectors + v) * width);
            sum = first ? tile[r][v] : sum + tile[r][v];
        }
    }
}

using Multiply = void(const float*, const int32_t*, int64_t, const float* const*, float*, bool);
Multiply* const multiply_rows[] = {nullptr,     multiply<1>, multiply<2>, multiply<3>,
                                   multiply<4>, multiply<5>, multiply<6>};

template <int chunk>
void gather(float* __restrict panel, const float* source, const int32_t* chunks,
            const int32_t* offsets, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k) {
        const float* from = source + offsets[k];
        for (int i = 0; i < places / chunk; ++i) {
            std::memcpy(panel + i * chunk, from + chunks[i], chunk * sizeof(float));
        }
        panel += places;
    }
}

void gather_chunks(int chunk, float* panel, const float* source, const int32_t* chunks,
                   const int32_t* offsets, int64_t depth) {
    const auto run = chunk == 8   ? gather<8>
                     : chunk == 4 ? gather<4>
                     : chunk == 2 ? gather<2>
                                  : gather<1>;
    run(panel, source, chunks, offsets, depth);
}
