#pragma once
#include "../vocabulary.h"

#include "../groups.h"
