package history

import (
	"slices"
	"sync"
)

// maxAnswers is how many pages are kept, of defaultLimit changes at most.
const maxAnswers = 32

// answers are pages of what was told, by what was asked. They are right until something is told or
// forgotten: whoever leaves a list open asks for the same once a second.
type answers struct {
	mu sync.Mutex
	// version is that of the tables of which the pages are.
	version uint64
	pages   map[string]Page
}

// get returns a page that was put for a version; ok is false if there is none.
func (a *answers) get(version uint64, asked string) (p Page, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.version != version {
		return Page{}, false
	}
	p, ok = a.pages[asked]
	return p.clone(), ok
}

func (a *answers) put(version uint64, asked string, p Page) {
	if len(p.Changes) > defaultLimit {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case version < a.version:
		return // somebody was slow
	case version > a.version || a.pages == nil || len(a.pages) >= maxAnswers:
		a.version, a.pages = version, map[string]Page{}
	}
	a.pages[asked] = p.clone()
}

// clone is a page of which nobody else has a part.
func (p Page) clone() Page {
	p.Changes = slices.Clone(p.Changes)
	for i := range p.Changes {
		p.Changes[i].Phases = slices.Clone(p.Changes[i].Phases)
	}
	return p
}
