package spans

import "unicode/utf8"

// Cut returns what is sent of a text: all of it, or if it is longer than 4 KiB as
// much of its beginning as fits, and "…". What was cut shares no memory with the
// text, so whoever keeps it does not keep the rest.
func Cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return CutTo(text, maxText-len(ellipsis)) + ellipsis
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
