// Convolutions as matrix products: one factor is the matrix that has a row for each window and a column for
// each place in it and channel there (im2col; Chellapilla et al. 2006). It exists nowhere: where a block
// copies a tile of it, each pack is copied from where it is in the images, or is zeros where the window is
// beyond their border.
//
// Images are (n, depth, height, width, channels), channels beside each other ("channels last"): of images with
// fewer dimensions, the first sizes are 1. Columns of the matrix count channels fastest, which are as many as
// whole packs hold; those that are not there are zeros.
#pragma once

#include "matmul_tensor.cuh"
#include "windows.cuh"

namespace {

template <class T, int lines, int threads>
class WindowTile;
template <class T, int lines, int threads>
class ColumnTile;

// The matrix of patches: images and the windows on them, of which none has a divisor. Of groups of channels, a
// block has one. Lines of a tile are rows, each a window, or columns.
template <class T, bool rows_are_lines>
struct Patches {
    static constexpr int size = Pack<T>::size;
    const T* images;
    int64_t strides[4];  // of n, depth, height, width, in elements; multiples of a pack
    int64_t channels;    // of a group
    WindowPlaces at;

    __host__ __device__ int padded() const { return static_cast<int>(ceil_div(channels, size)) * size; }
    __host__ __device__ int64_t columns() const { return int64_t(at.elements()) * padded(); }

    template <int lines, int threads>
    using TileOf = typename std::conditional<rows_are_lines, WindowTile<T, lines, threads>,
                                             ColumnTile<T, lines, threads>>::type;

    template <class Tile>
    __device__ Tile tile(int64_t group, int64_t, int64_t first_line, int64_t lines, int64_t first_k) const {
        return Tile(*this, images + group * channels, first_line, lines, first_k);
    }

    // Digits of a column, and of a row: (in depth, in height, in width, channel), (image, window in depth ...).
    __device__ void column_limits(int (&limits)[3]) const {
        limits[0] = at.kernel[1], limits[1] = at.kernel[2], limits[2] = padded();
    }
    __device__ const int (&row_limits() const)[3] { return at.windows; }

    // Copies a pack of channels, or zeros. start: the first element's place if the window began at 0.
    __device__ void copy(T* to, const T* image, const int (&start)[3], const Digits& column) const {
        int64_t place = column[3];
        bool inside = column[0] < at.kernel[0];
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int where = start[i] + column[i] * at.element_step[i];
            inside = inside && unsigned(where) < unsigned(at.image[i]);
            place += where * strides[i + 1];
        }
        const int there = static_cast<int>(channels) - column[3];
        copy_async(to, image + place, inside ? (there < size ? there : size) * int(sizeof(T)) : 0);
    }
};

// Where windows begin that are not there: so far away that none of their elements is in an image.
constexpr int outside = -(1 << 30);

// Lines are windows, and k counts columns: a thread's windows stay the same.
template <class T, int lines, int threads>
class WindowTile : public TileLayout<T, lines, depth<T>, threads, true> {
    using Base = TileLayout<T, lines, depth<T>, threads, true>;
    static constexpr int packs = Base::packs;

    static_assert(Base::sharing == threads, "all threads have packs");

  public:
    __device__ WindowTile(const Patches<T, true>& patches, const T* images, int64_t first_line, int64_t all_lines,
                      int64_t first_k)
        : patches_(patches), column_(0, {1, 1, 1}), step_(0, {1, 1, 1}) {
        patches.column_limits(limits_);
        column_ = Digits(first_k + Base::first_column(), limits_);
        step_ = Digits(depth<T>, limits_);
        const int64_t line = first_line + Base::first_row();
        Digits row(line, patches.row_limits());
        const Digits apart(Base::rows_apart, patches.row_limits());
#pragma unroll
        for (int i = 0; i < packs; ++i) {
            images_[i] = images + row[0] * patches.strides[0];
            patches.at.start_of(starts_[i], row.values);
            if (line + i * Base::rows_apart >= all_lines) starts_[i][0] = outside;
            row.add(apart, patches.row_limits());
        }
    }
    __device__ void fetch(T* tile, int64_t) {
#pragma unroll
        for (int i = 0; i < packs; ++i) {
            patches_.copy(tile + Base::own_place(i), images_[i], starts_[i], column_);
        }
        column_.add(step_, limits_);
    }

  private:
    const Patches<T, true>& patches_;
    const T* images_[packs];
    int starts_[packs][3], limits_[3];
    Digits column_, step_;
};

// Lines are columns, and k counts windows: a thread's place in them stays the same.
template <class T, int lines, int threads>
class ColumnTile : public TileLayout<T, lines, depth<T>, threads, false> {
    using Base = TileLayout<T, lines, depth<T>, threads, false>;

    static_assert(Base::sharing == threads, "all threads have packs");

  public:
    __device__ ColumnTile(const Patches<T, false>& patches, const T* images, int64_t first_line, int64_t, int64_t first_k)
        : patches_(patches), images_(images), column_(0, {1, 1, 1}),
          row_(first_k + Base::first_row(), patches.row_limits()),
          step_(Base::rows_apart, patches.row_limits()) {
        int limits[3];
        patches.column_limits(limits);
        column_ = Digits(first_line + Base::first_column(), limits);
    }
    __device__ void fetch(T* tile, int64_t k_left) {
#pragma unroll
        for (int i = 0; i < Base::packs; ++i) {
            int start[3];
            patches_.at.start_of(start, row_.values);
            if (Base::first_row() + i * Base::rows_apart >= k_left) start[0] = outside;
            patches_.copy(tile + Base::own_place(i), images_ + row_[0] * patches_.strides[0], start, column_);
            row_.add(step_, patches_.row_limits());
        }
    }

  private:
    const Patches<T, false>& patches_;
    const T* images_;
    Digits column_, row_, step_;
};

template <class T, int lines, int threads>
class WeightTile;

// A weight [groups, lines, elements of a window, channels], of whose elements every `step`-th from `first` on
// counts in each of three dimensions: a row for each line, and columns as Patches has them.
template <class T>
struct Weights {
    const T* data;  // at the first element that counts
    int64_t group, line;
    int elements[3];  // that count
    int64_t steps[3];
    int padded;  // channels

    template <int lines, int threads>
    using TileOf = WeightTile<T, lines, threads>;

    template <class Tile>
    __device__ Tile tile(int64_t of_group, int64_t, int64_t first_line, int64_t lines, int64_t first_k) const {
        return Tile(*this, data + of_group * group, first_line, lines, first_k);
    }
    __device__ void column_limits(int (&limits)[3]) const {
        limits[0] = elements[1], limits[1] = elements[2], limits[2] = padded;
    }
};

template <class T, int lines, int threads>
class WeightTile : public TileLayout<T, lines, depth<T>, threads, true> {
    using Base = TileLayout<T, lines, depth<T>, threads, true>;

    static_assert(Base::sharing == threads, "all threads have packs");

  public:
    __device__ WeightTile(const Weights<T>& weights, const T* group, int64_t first_line, int64_t all_lines,
                          int64_t first_k)
        : weights_(weights), source_(group + (first_line + Base::first_row()) * weights.line),
          lines_left_(static_cast<int>(min(all_lines - first_line - Base::first_row(), int64_t(lines)))),
          column_(0, {1, 1, 1}), step_(0, {1, 1, 1}) {
        weights.column_limits(limits_);
        column_ = Digits(first_k + Base::first_column(), limits_);
        step_ = Digits(depth<T>, limits_);
    }
    __device__ void fetch(T* tile, int64_t) {
        int64_t place = column_[3];
#pragma unroll
        for (int i = 0; i < 3; ++i) place += column_[i] * weights_.steps[i];
        const int rows = column_[0] < weights_.elements[0] ? lines_left_ : 0;
#pragma unroll
        for (int i = 0; i < Base::packs; ++i) {
            const int row = i * Base::rows_apart;
            copy_async(tile + Base::own_place(i), source_ + row * weights_.line + place, row < rows ? 16 : 0);
        }
        column_.add(step_, limits_);
    }

  private:
    const Weights<T>& weights_;
    const T* source_;
    int lines_left_, limits_[3];
    Digits column_, step_;
};

}  // namespace
