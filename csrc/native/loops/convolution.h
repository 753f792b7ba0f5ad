// A piece of a convolution, and the copy of its images with a border. Included within a namespace, behind
// ../loops.h, ../convolution.h and ../transpose.h.

constexpr int width = TAPEGRAD_VECTOR_WIDTH;
constexpr int vectors = tile_vectors(width);
constexpr int places = width * vectors;  // of a tile

typedef float Vector __attribute__((vector_size(width * 4), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(width * 4), aligned(4), may_alias));

inline Vector& at(float* memory) { return *reinterpret_cast<Vector*>(memory); }
inline const Vector& at(const float* memory) { return *reinterpret_cast<const Vector*>(memory); }

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t within(int64_t x, int64_t end) { return x < 0 ? 0 : smaller(x, end); }
inline int64_t divided_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// Those elements of a plane along an axis that an image has.
struct Inside {
    int64_t begin, end;
    int64_t first;  // where the first of them lies in the image

    Inside(const Axis& axis, int64_t plane) {
        const int64_t low = axis.low + plane;
        begin = within(divided_up(-low, axis.step), axis.length);
        end = within(divided_up(axis.size - low, axis.step), axis.length);
        first = low + begin * axis.step;
    }
};

// Every step-th of the floats before ``end``.
void copy_row(float* __restrict to, const float* __restrict from, int64_t step, int64_t count,
              const float* end) {
    int64_t i = 0;
    if (step == 1) {
        for (; i + 4 <= count; i += 4) {
            four_at(to + i) = four_at(from + i);
        }
    } else if (step == 2) {
        for (; i + 4 <= count && from + 2 * i + 8 <= end; i += 4) {
            const Four a = four_at(from + 2 * i), b = four_at(from + 2 * i + 4);
            four_at(to + i) = Four{a[0], a[2], b[0], b[2]};
        }
    }
    for (; i < count; ++i) {
        to[i] = from[i * step];
    }
}

void copy_channel(float* to, const float* from, const Axis* axes) {
    const Axis &d = axes[0], &h = axes[1], &w = axes[2];
    const int64_t size = d.size * h.size * w.size, plane = d.length * h.length * w.length;
    for (int64_t i = 0; i < d.planes * h.planes * w.planes; ++i, to += plane) {
        const Inside in_d(d, i / w.planes / h.planes), in_h(h, i / w.planes % h.planes);
        const Inside in_w(w, i % w.planes);
        const int64_t count = in_w.end - in_w.begin;
        if ((in_d.end - in_d.begin) * (in_h.end - in_h.begin) * count < plane) {
            std::memset(to, 0, size_t(plane) * sizeof(float));
        }
        const bool whole_rows = count == w.length && count == w.size && h.step == 1;
        for (int64_t z = in_d.begin; z < in_d.end; ++z) {
            const float* slice = from + (in_d.first + (z - in_d.begin) * d.step) * h.size * w.size;
            if (whole_rows) {
                std::memcpy(to + (z * h.length + in_h.begin) * w.length,
                            slice + in_h.first * w.size,
                            size_t((in_h.end - in_h.begin) * count) * sizeof(float));
                continue;
            }
            for (int64_t y = in_h.begin; y < in_h.end; ++y) {
                const float* row = slice + (in_h.first + (y - in_h.begin) * h.step) * w.size;
                for (int64_t x = 0; x < w.size; x += 16) {
                    __builtin_prefetch(row + size + x);
                }
                copy_row(to + (z * h.length + y) * w.length + in_w.begin, row + in_w.first, w.step,
                         count, from + size);
            }
        }
    }
}

// So many channels of so many images, each at the start of memory for ``room`` channels, and zeros for
// a vector that begins in the last one.
void copy_images(float* memory, const Source& source, const Axis* axes, int64_t image,
                 int64_t images, int64_t channel, int64_t channels, int64_t room) {
    const int64_t size = axes[0].size * axes[1].size * axes[2].size;
    for (int64_t i = 0; i < images; ++i) {
        const float* from = source.images + ((image + i) * source.channels + channel) * size;
        float* to = memory + i * room * source.channel;
        for (int64_t c = 0; c < channels; ++c) {
            copy_channel(to, from + c * size, axes);
            to += source.channel;
        }
        for (int j = 0; j < width; ++j) {  // the next image is written over it
            to[j] = 0;
        }
    }
}

// What a piece computes.
struct Piece {
    int64_t image, images;
    int64_t unit, units;
    int64_t group, group_end;
    int64_t row, row_end;
    Axis axes[3];

    Piece(const Pieces& pieces, const Source& source, int64_t block, int64_t strip,
          int64_t group_block, int64_t row_block) {
        image = block * pieces.images;
        images = smaller(pieces.images, source.count - image);
        unit = strip * pieces.strip;
        units = pieces.strip;
        group = group_block * pieces.groups_at_once;
        group_end = smaller(group + pieces.groups_at_once, pieces.groups);
        row = row_block * pieces.rows_at_once;
        row_end = smaller(row + pieces.rows_at_once, pieces.rows);
        for (int i = 0; i < 3; ++i) {
            axes[i] = source.axes[i];
        }
        axes[pieces.strip_axis].low += unit * axes[pieces.strip_axis].step;
    }
};
