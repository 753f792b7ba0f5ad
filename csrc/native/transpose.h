// Transposing copies, of floats by blocks of eight by eight or four by four. Included within a namespace.

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

inline Four& four_at(float* memory) { return *reinterpret_cast<Four*>(memory); }
inline const Four& four_at(const float* memory) { return *reinterpret_cast<const Four*>(memory); }

inline void transpose_by_fours(const float* from, int64_t from_row, float* to, int64_t to_row,
                               int64_t rows, int64_t columns) {
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

#if TAPEGRAD_VECTOR_WIDTH >= 8
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

template <int... from>
inline Eight pick(Eight a, Eight b) {
    return Eight{(from < 8 ? a[from & 7] : b[from & 7])...};
}

inline void transpose_eights(const float* from, int64_t from_row, float* to, int64_t to_row) {
    Eight a[8], b[8];
    for (int i = 0; i < 8; ++i) {
        a[i] = *reinterpret_cast<const Eight*>(from + i * from_row);
    }
    for (int i = 0; i < 8; i += 2) {
        b[i] = pick<0, 8, 1, 9, 4, 12, 5, 13>(a[i], a[i + 1]);
        b[i + 1] = pick<2, 10, 3, 11, 6, 14, 7, 15>(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; ++k) {
            a[i + 2 * k] = pick<0, 1, 8, 9, 4, 5, 12, 13>(b[i + k], b[i + k + 2]);
            a[i + 2 * k + 1] = pick<2, 3, 10, 11, 6, 7, 14, 15>(b[i + k], b[i + k + 2]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        *reinterpret_cast<Eight*>(to + i * to_row) = pick<0, 1, 2, 3, 8, 9, 10, 11>(a[i], a[i + 4]);
        *reinterpret_cast<Eight*>(to + (i + 4) * to_row) =
            pick<4, 5, 6, 7, 12, 13, 14, 15>(a[i], a[i + 4]);
    }
}
#endif

// to[j * to_row + i] = from[i * from_row + j]
template <class T>
void transpose(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows,
               int64_t columns) {
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
            to[j * to_row + i] = from[i * from_row + j];
        }
    }
}

inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
    int64_t i = 0;
#if TAPEGRAD_VECTOR_WIDTH >= 8
    for (; i + 8 <= rows; i += 8) {
        int64_t j = 0;
        for (; j + 8 <= columns; j += 8) {
            transpose_eights(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        }
        transpose_by_fours(from + i * from_row + j, from_row, to + j * to_row + i, to_row, 8,
                           columns - j);
    }
#endif
    transpose_by_fours(from + i * from_row, from_row, to + i, to_row, rows - i, columns);
}
