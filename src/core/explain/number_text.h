#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dlent {

// Texts for people, the same bytes whatever the locale.

/// `digits` significant digits without trailing zeros, thousands set apart: "1,890", "0.0306", "-12.5",
/// "3.1e-07".
std::string NumberText(double value, int digits);
/// With exactly `decimals` digits after the point, a true minus, and a plus where `with_sign`.
std::string FixedText(double value, int decimals, bool with_sign);
/// Decimals that show `value` with `digits` significant digits.
int DecimalsFor(double value, int digits);

/// Columns that a text takes in a fixed-width font: 2 for East Asian wide characters and emoji, 0 for
/// combining marks.
int DisplayWidth(std::string_view utf8);
/// The text, cut to `width` columns with an ellipsis where it is longer.
std::string Shortened(std::string_view utf8, int width);
/// Broken at spaces into lines of at most `width` columns; a longer word is cut.
std::vector<std::string> Wrapped(std::string_view utf8, int width);
/// Without what could break a line, a terminal or XML: control characters, marks that reverse the direction
/// and bytes that are no UTF-8 become U+FFFD; tabs and line ends a space.
std::string Printable(std::string_view text);

}  // namespace dlent
