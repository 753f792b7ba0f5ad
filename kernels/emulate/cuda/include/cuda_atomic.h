#pragma once
#include "../vocabulary.h"

#include "../scoped_atomic.h"
