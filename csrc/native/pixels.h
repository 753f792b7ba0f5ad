// Positions in flattened images, as their loops (loops/positions.cpp) take them.
#pragma once

#include <cstdint>

// Which elements windows have along one axis: (count, batch or 1, channels or 1, windows).
struct Elements {
    const int64_t* indices;
    int64_t count, batch, channels, windows;
    int64_t size;  // of the image
    int64_t step;  // from one element of a window to the next

    const int64_t* of_image(int64_t image, int64_t channel) const {
        const int64_t row = (batch == 1 ? 0 : image) * channels + (channels == 1 ? 0 : channel);
        return indices + row * windows;
    }
};

struct LargestAt {
    Elements axes[3];
    int64_t channels;
};

struct At {
    const int64_t* positions;  // (batch, channels, count), all of them in the images; or
    bool shared;               // (batch, 1, count)
    int64_t channels, count, size;
};
