// Tiles of images, transformed. Included within a namespace, behind convolution.h, tile.h and
// ../winograd.h.

// From an element's numbers of so many channels or filters to the next's: an odd number of cache lines,
// or all elements of a tile would fall into the same few places of the first cache.
inline int64_t element_stride(int64_t count) { return count * places + 16; }

// to (tile_elements, channels, places) of a panel, from ``elements`` of each tile: transform(x, y), of
// vectors, makes tile_elements y.
template <int elements, class Transform>
void transform_panel(const Tiles& of, const float* copy, int64_t panel, int64_t channels,
                     int64_t stride, float* to, Transform transform) {
    float gathered[elements][places];
    const int32_t* chunks = of.chunks + panel * (places / of.chunk);
    for (int64_t channel = 0; channel < channels; ++channel) {
        gather_chunks(of.chunk, gathered[0], copy + channel * of.source.channel, chunks, of.offsets,
                      elements);
        for (int v = 0; v < vectors; ++v) {
            Vector x[elements], y[tile_elements];
#pragma GCC unroll 16
            for (int e = 0; e < elements; ++e) {
                x[e] = at(gathered[e] + v * width);
            }
            transform(x, y);
#pragma GCC unroll 16
            for (int e = 0; e < tile_elements; ++e) {
                at(to + e * stride + channel * places + v * width) = y[e];
            }
        }
    }
}

// to (panels, tile_elements, channels, places), from the images of a piece.
template <int elements, class Transform>
void transform_tiles(const Tiles& of, const Piece& piece, int64_t images, int64_t first,
                     int64_t channels, float* copy, float* to, Transform transform) {
    const int64_t at_once = of.source.channels_at_once, stride = element_stride(channels);
    if (piece.images < images) {  // no rubbish for those that are missing
        std::memset(copy, 0, size_t(images * at_once * of.source.channel) * sizeof(float));
    }
    for (int64_t channel = 0; channel < channels; channel += at_once) {
        const int64_t some = smaller(at_once, channels - channel);
        copy_images(copy, of.source, piece.axes, piece.image, piece.images, first + channel, some,
                    at_once);
        for (int64_t panel = 0; panel < of.panels; ++panel) {
            transform_panel<elements>(
                of, copy, panel, some, stride, to + panel * tile_elements * stride + channel * places,
                transform);
        }
    }
}

// The images' transform, along both axes.
struct TransformImages {
    void operator()(const Vector* x, Vector* y) const {
        Vector half[tile_elements];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            along(x + j, half + j, 4);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            along(half + 4 * i, y + 4 * i, 1);
        }
    }

    static void along(const Vector* x, Vector* y, int step) {
        y[0] = x[0] - x[2 * step];
        y[step] = x[step] + x[2 * step];
        y[2 * step] = x[2 * step] - x[step];
        y[3 * step] = x[step] - x[3 * step];
    }
};
