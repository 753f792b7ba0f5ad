// A transposing copy, by blocks of four by four. Included within a namespace.

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

inline Four& four_at(float* memory) { return *reinterpret_cast<Four*>(memory); }
inline const Four& four_at(const float* memory) { return *reinterpret_cast<const Four*>(memory); }

// to[j * to_row + i] = from[i * from_row + j]
inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float* f = from + i * from_row;
        float* t = to + i;
        int64_t j = 0;
        for (; j + 4 <= columns; j += 4) {
            const Four a = four_at(f + j), b = four_at(f + from_row + j);
            const Four c = four_at(f + 2 * from_row + j), d = four_at(f + 3 * from_row + j);
            const Four ab = {a[0], b[0], a[1], b[1]}, ab2 = {a[2], b[2], a[3], b[3]};
            const Four cd = {c[0], d[0], c[1], d[1]}, cd2 = {c[2], d[2], c[3], d[3]};
            const Four columns4[] = {{ab[0], ab[1], cd[0], cd[1]},
                                     {ab[2], ab[3], cd[2], cd[3]},
                                     {ab2[0], ab2[1], cd2[0], cd2[1]},
                                     {ab2[2], ab2[3], cd2[2], cd2[3]}};
            for (int k = 0; k < 4; ++k) {
                four_at(t + (j + k) * to_row) = columns4[k];
            }
        }
        for (; j < columns; ++j) {
            for (int k = 0; k < 4; ++k) {
                t[j * to_row + k] = f[k * from_row + j];
            }
        }
    }
    for (; i + 2 <= rows; i += 2) {
        const float* f = from + i * from_row;
        for (int64_t j = 0; j < columns; ++j) {
            const float both[] = {f[j], f[from_row + j]};
            __builtin_memcpy(to + j * to_row + i, both, sizeof both);
        }
    }
    for (int64_t j = 0; i < rows && j < columns; ++j) {
        to[j * to_row + i] = from[i * from_row + j];
    }
}
