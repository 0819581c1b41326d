package stream

import "strings"

// combined begins the message of an Event that client-go's recorder writes for several of one reason,
// as soon as ten of an object have differed in their words (tools/record/events_cache.go:
// EventAggregator). What comes after it is what the last of them said.
const combined = "(combined from similar events)"

// IsCombined reports whether a message is that of an Event that stands for several.
func IsCombined(message string) bool { return strings.HasPrefix(message, combined) }

// EventWords are the words of an Event, the last one's if it stands for several. Whoever goes by how
// messages begin asks for these.
func EventWords(message string) string { return strings.TrimPrefix(message, combined+": ") }

// FirstWords are what is known, by the message of an Event that has happened more than once, of what it
// said at first: nothing, if it stands for several.
func FirstWords(message string) string {
	if IsCombined(message) {
		return combined
	}
	return message
}
