// The whole library in one more translation unit of every test program: a function that is neither a template nor
// inline would be defined twice and stop the link; a forward declaration that does not fit would not compile.
#include <mat/fwd.hpp>
#include <mat/io/checkpoint.hpp>
#include <mat/mat.hpp>
