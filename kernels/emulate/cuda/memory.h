// The memory of the device, as launches and the API see it.
#pragma once

#include <vector>

#include "../check.h"
#include "api.h"

namespace emulate {
namespace cuda {

// Tells the checks of what was allocated and freed since they were told last.
void tell_checks();

}  // namespace cuda
}  // namespace emulate
