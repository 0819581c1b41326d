package spans

import "unicode/utf8"

// MaxText is the longest text in bytes that is sent: of a value, a name, a key or a
// message. It is far above what a cluster writes (an Event's message is cut at 1 KiB,
// a container's termination message at 4 KiB).
const MaxText = 4 << 10

// ellipsis ends a text that was cut.
const ellipsis = "…"

// Cut returns what is sent of a text: all of it, or if it is longer than MaxText as
// much of its beginning as fits, and "…". What was cut shares no memory with the
// text, so whoever keeps it does not keep the rest.
func Cut(text string) string {
	if len(text) <= MaxText {
		return text
	}
	return CutTo(text, MaxText-len(ellipsis)) + ellipsis
}

// CutTo returns the beginning of a text, at most so many bytes of it, and never
// a part of a character. It shares the text's memory.
func CutTo(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	text = text[:bytes]
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if utf8.RuneStart(text[len(text)-i]) {
			if !utf8.FullRuneInString(text[len(text)-i:]) {
				text = text[:len(text)-i]
			}
			break
		}
	}
	return text
}
