// Tiles of matrices in shared memory, for tensor cores: a block copies them there asynchronously, and
// its warps load fragments from there.
//
// A tile has `lines` (rows of the left factor, columns of the right one) and is `depth` deep along k.
// It lies as its matrix does, in rows of 16-byte packs, so that no element is moved by itself. Where a
// row is short, packs of neighbouring rows would fall into the same banks: so the packs of a row are
// exchanged among each other, by a pattern that differs from row to row. Then the eight rows of an
// 8 x 8 matrix, which ldmatrix reads at once, lie in different banks, and so do the packs that eight
// neighbouring threads copy.
#pragma once

#include "tensor.cuh"

// How a tile lies, whatever it is filled from. T: half, bfloat16, or float for tfloat32, of which a fragment has
// half as many along k. Neighbours in memory are neighbours along k if `along_k`, else of neighbouring lines.
template <class T, int lines, int depth, int threads, bool along_k>
class TileLayout {
  protected:
    static constexpr int size = Pack<T>::size;
    static constexpr int row_packs = (along_k ? depth : lines) / size;
    static constexpr int packs = lines * depth / size / threads;  // of a thread
    static constexpr int rows_apart = threads / row_packs;        // of a thread's packs
    static_assert(packs * threads * size == lines * depth && rows_apart * row_packs == threads,
                  "threads share a tile's packs evenly");

  public:
    static constexpr int elements = lines * depth;

    // 16 lines by 16 along k (float: 8), as the left factor's fragment.
    __device__ static void load_left(unsigned (&fragment)[4], const T* tile, int line, int k) {
        const int lane = threadIdx.x % 32;
        if constexpr (along_k) {
            ldmatrix(fragment, tile + place(line + lane % 16, k / size + lane / 16));
        } else if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                fragment[i] = number(tile, k + lane % 4 + i / 2 * 4, line + lane / 4 + i % 2 * 8);
            }
        } else {
            const int row = k + lane / 16 * 8 + lane % 8;
            ldmatrix_trans(fragment, tile + place(row, line / size + lane / 8 % 2));
        }
    }

    // The same as two fragments of the right factor, of 8 columns each.
    __device__ static void load_right(unsigned (&fragments)[2][2], const T* tile, int line, int k) {
        const int lane = threadIdx.x % 32;
        unsigned both[4];
        if constexpr (!along_k && sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                both[i] = number(tile, k + lane % 4 + i % 2 * 4, line + lane / 4 + i / 2 * 8);
            }
        } else if constexpr (along_k) {
            const int row = line + lane / 16 * 8 + lane % 8;
            ldmatrix(both, tile + place(row, k / size + lane / 8 % 2));
        } else {
            const int row = k + lane % 16;
            ldmatrix_trans(both, tile + place(row, line / size + lane / 16));
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) fragments[i / 2][i % 2] = both[i];
    }

    // Of a tile along k as one across it: 16 lines (float: 8) are the right factor's k, and 16 columns.
    // Of floats, neighbouring lines come into a lane's two registers.
    __device__ static void load_across(unsigned (&fragments)[2][2], const T* tile, int line, int column) {
        static_assert(along_k, "other tiles lie as load_right reads them");
        const int lane = threadIdx.x % 32;
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                fragments[i / 2][i % 2] =
                    number(tile, line + lane % 4 * 2 + i % 2, column + lane / 4 + i / 2 * 8);
            }
        } else {
            unsigned both[4];
            ldmatrix_trans(both, tile + place(line + lane % 16, column / size + lane / 16));
#pragma unroll
            for (int i = 0; i < 4; ++i) fragments[i / 2][i % 2] = both[i];
        }
    }

  protected:
    // The first of a thread's packs, and where the tile has the i-th.
    __device__ static int first_row() { return threadIdx.x / row_packs; }
    __device__ static int first_column() { return threadIdx.x % row_packs * size; }
    __device__ static int own_place(int i) { return place(first_row() + i * rows_apart, threadIdx.x % row_packs); }

  private:
    // What ldmatrix cannot transpose.
    __device__ static unsigned number(const T* tile, int row, int column) {
        unsigned bits;
        memcpy(&bits, tile + place(row, column / size) + column % size, sizeof bits);
        return bits;
    }

    // Rows of 8 packs fill the banks once: the row decides. Of 4, two rows do: every other one. Where
    // single numbers are read, of four rows at once, two packs beside each other of each.
    __device__ static int place(int row, int pack) {
        if (sizeof(T) == 4 && !along_k) {
            return (row * row_packs + (pack ^ (row % 4 * 2))) * size;
        }
        constexpr int rows_of_banks = row_packs >= 8 ? 1 : 8 / row_packs;
        constexpr int patterns = row_packs >= 8 ? 8 : row_packs;
        return (row * row_packs + (pack ^ (row / rows_of_banks % patterns))) * size;
    }
};

// A tile of a matrix that lies in memory.
template <class T, int lines, int depth, int threads, bool along_k>
class Tile : public TileLayout<T, lines, depth, threads, along_k> {
    using Layout = TileLayout<T, lines, depth, threads, along_k>;
    using Layout::packs, Layout::rows_apart, Layout::size;

  public:
    // Of the tiles along k from `first_line` and `first_k` on of a matrix whose rows are `stride` apart.
    __device__ Tile(const T* matrix, int64_t stride, int64_t first_line, int64_t all_lines,
                    int64_t first_k)
        : row_(Layout::first_row()), column_(Layout::first_column()) {
        const int64_t left = all_lines - first_line;
        lines_left_ = static_cast<int>(left < lines ? left : lines);
        source_ = matrix + (along_k ? (first_line + row_) * stride + first_k + column_
                                    : (first_k + row_) * stride + first_line + column_);
        apart_ = rows_apart * stride;
        advance_ = along_k ? depth : depth * stride;
    }

    // Begins to copy the next tile, of which k_left are inside the matrix; zeros for what is not.
    __device__ void fetch(T* tile, int64_t k_left) {
        const int depth_left = static_cast<int>(k_left < depth ? k_left : depth);
        const int rows = along_k ? lines_left_ : depth_left;
        const int columns = (along_k ? depth_left : lines_left_) - column_;
        const int inside = columns <= 0 ? 0 : columns < size ? columns : size;
#pragma unroll
        for (int i = 0; i < packs; ++i) {
            const int row = row_ + i * rows_apart;
            const int bytes = row < rows ? inside * int(sizeof(T)) : 0;
            copy_async(tile + Layout::own_place(i), source_ + i * apart_, bytes);
        }
        source_ += advance_;
    }

  private:
    const T* source_;  // this thread's first pack of the next tile
    int64_t apart_, advance_;
    int row_, column_;
    int lines_left_;
};
