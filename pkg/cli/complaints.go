package cli

// maxComplaints bounds what is said of one file, or one dump. Whoever names a file
// that is something else is not to get a line for each of its lines.
const maxComplaints = 20

// complaints says what is wrong with input, of a file where all is wrong not all.
type complaints struct {
	say  func(format string, args ...any)
	told int
}

func (c *complaints) add(err error) {
	c.told++
	switch {
	case c.told <= maxComplaints:
		c.say("%s", inOneLine(err))
	case c.told == maxComplaints+1:
		c.say("there is more; from here on it is only counted")
	}
}
