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
    static constexpr int rows = along_k ? lines : depth, row_packs = lines * depth / rows / size;
    // Of a thread's packs; where rows are shared unevenly, a multiple of eight, and some threads have no packs.
    static constexpr int multiple = threads % row_packs ? 8 : 1, rows_apart = threads / row_packs / multiple * multiple;
    static constexpr int sharing = rows_apart * row_packs, packs = rows / rows_apart;  // threads, packs of each
    static_assert(packs * rows_apart == rows, "threads share a tile's packs evenly");

  public:
    static constexpr int elements = lines * depth;

    // 16 lines by 16 along k (float: 8), as the left factor's fragment.
    __device__ static void load_left(unsigned (&fragment)[4], const T* tile, int line, int k) {
        const int lane = threadIdx.x % 32;
        if constexpr (along_k) {
            ldmatrix(fragment, tile + line * depth + place(lane % 16, lane / 16, k));
        } else if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                fragment[i] = number(tile, k + lane % 4 + i / 2 * 4, line + lane / 4 + i % 2 * 8);
            }
        } else {
            const int row = lane / 16 * 8 + lane % 8;
            ldmatrix_trans(fragment, tile + k * lines + place(row, lane / 8 % 2, line));
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
            const int row = lane / 16 * 8 + lane % 8;
            ldmatrix(both, tile + line * depth + place(row, lane / 8 % 2, k));
        } else {
            ldmatrix_trans(both, tile + k * lines + place(lane % 16, lane / 16, line));
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
    __device__ static int own_place(int i) {
        const int below = i * rows_apart / 8 * 8, rest = i * rows_apart % 8;
        return below * row_packs * size + place(first_row() + rest, threadIdx.x % row_packs);
    }

  private:
    // What ldmatrix cannot transpose.
    __device__ static unsigned number(const T* tile, int row, int column) {
        unsigned bits;
        memcpy(&bits, tile + place(row, column / size) + column % size, sizeof bits);
        return bits;
    }

    // Rows of 8 packs fill the banks once: the row decides. Of 4, two rows do: every other one. Where
    // single numbers are read, of four rows at once, two packs beside each other of each. After eight rows
    // patterns begin again. further: elements, a multiple of two packs; pack is 0 or 1 if it is not 0.
    __device__ static int place(int row, int pack, int further = 0) {
        constexpr int rows_of_banks = row_packs >= 8 ? 1 : 8 / row_packs;
        constexpr int patterns = row_packs >= 8 ? 8 : row_packs;
        const int pattern = sizeof(T) == 4 && !along_k ? row % 4 * 2 : row / rows_of_banks % patterns;
        return row * row_packs * size + ((pack ^ pattern) * size ^ further);
    }
};

// A tile of a matrix that lies in memory.
template <class T, int lines, int depth, int threads, bool along_k>
class Tile : public TileLayout<T, lines, depth, threads, along_k> {
    using Layout = TileLayout<T, lines, depth, threads, along_k>;
    using Layout::packs, Layout::rows_apart, Layout::sharing, Layout::size;

  public:
    // Of the tiles along k from `first_line` and `first_k` on of a matrix whose rows are `stride` apart.
    __device__ Tile(const T* matrix, int64_t stride, int64_t first_line, int64_t all_lines,
                    int64_t first_k)
        : stride_(stride) {
        const int64_t left = all_lines - first_line, row = Layout::first_row(), column = Layout::first_column();
        const int own = static_cast<int>((left < lines ? left : lines) - (along_k ? row : column));
        own_ = along_k ? own : bytes_inside(own);
        source_ = matrix + (along_k ? (first_line + row) * stride + first_k + column
                                    : (first_k + row) * stride + first_line + column);
    }

    // Begins to copy the next tile, of which k_left are inside the matrix; zeros for what is not.
    __device__ void fetch(T* tile, int k_left) {
        if (sharing < threads && threadIdx.x >= sharing) return;
        const int rows = along_k ? own_ : k_left - Layout::first_row();
        const int inside = along_k ? bytes_inside(k_left - Layout::first_column()) : own_;
#pragma unroll
        for (int i = 0; i < packs; ++i) {
            const int bytes = i * rows_apart < rows ? inside : 0;
            copy_async(tile + Layout::own_place(i), source_ + i * rows_apart * stride_, bytes);
        }
        source_ += along_k ? depth : depth * stride_;
    }

  private:
    // Of a pack in which so many elements are.
    __device__ static int bytes_inside(int elements) {
        return (elements <= 0 ? 0 : elements < size ? elements : size) * int(sizeof(T));
    }

    const T* source_;  // this thread's first pack of the next tile
    int64_t stride_;
    int own_;  // lines from that pack's on; where rows are along lines, what is inside of each pack, in bytes
};
