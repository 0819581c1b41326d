// Package spelling finds what somebody meant who has misspelled a word: a flag, a field of the
// configuration, a field or a value of a filter. It is a package of its own because the commands
// and the filters say so, and neither is to know the other.
package spelling
