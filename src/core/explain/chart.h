#pragma once

#include <string>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent {

// Pictures of an explanation document "dlent.explanation/1". The same document gives the same bytes. Every
// text of the document is shown as text, whatever it contains. kInvalidArgument says what is wrong with a
// document.

/// A stand-alone SVG picture: for each label the answer on its scale and a bar for each reason, with the 95 %
/// interval of its contribution. No script, no reference to anything outside; dark where the viewer prefers
/// it.
Expected<std::string> ExplanationSvg(const Json& document);

/// The same for terminals, lines of at most 100 columns of a fixed-width font. Without `unicode` bars, arrows
/// and signs are ASCII, for encodings that have no others.
Expected<std::string> ExplanationText(const Json& document, bool unicode = true);

}  // namespace dlent
