// All tables of one level.
#include "csrc/native/level.h"

#define TEXT(name) #name
#define NAME_OF(level) TEXT(level)

#define TABLE(name, door) extern const Loops OF_LEVEL(name);
TAPEGRAD_TABLES
#undef TABLE
extern const Loops OF_LEVEL(steps);
extern const Loops OF_LEVEL(winograd);

extern const Level OF_LEVEL(level);
const Level OF_LEVEL(level) = {
    NAME_OF(TAPEGRAD_LEVEL),
    TAPEGRAD_VECTOR_WIDTH,
    OF_LEVEL(steps),
    OF_LEVEL(winograd),
#define TABLE(name, door) OF_LEVEL(name),
    TAPEGRAD_TABLES
#undef TABLE
};
