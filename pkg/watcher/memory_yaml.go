package watcher

import (
	"encoding/json"
	"regexp"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// yamlToJSON parses a YAML text of one document, if that takes no more memory than
// one value may.
func (m *memory) yamlToJSON(text []byte) (json.RawMessage, error) {
	if err := m.fits(yamlCost(text)); err != nil {
		return nil, err
	}
	if yamlAlias.Match(text) {
		var document yamlv3.Node
		if err := yamlv3.Unmarshal(text, &document); err != nil {
			return nil, err
		}
		if err := m.fits(yamlExpansion{}.cost(&document)); err != nil {
			return nil, err
		}
	}
	return yaml.YAMLToJSON(text)
}

// yamlAlias finds what may refer to an anchor. It is as well a part of text.
var yamlAlias = regexp.MustCompile(`\*[0-9A-Za-z_-]`)

// What a YAML text takes at most while it is parsed and becomes JSON: all nodes of a
// document are there at once, and three trees are made of them.
const (
	yamlNodeBytes = 640
	yamlByteBytes = 8
)

// yamlCost is how much memory a YAML text without aliases takes at most while it
// becomes JSON, in bytes. Each of its nodes, but for a few, stands behind one of the
// characters that are counted.
func yamlCost(text []byte) int64 {
	cost := yamlTextCost(text) + yamlNodeBytes
	flow := false // it may be in flow style, where no space is needed
	for i, c := range text {
		blank := i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\t' || text[i+1] == '\r' || text[i+1] == '\n'
		switch c {
		case '[', '{':
			flow = true
			cost += yamlNodeBytes
		case ',':
			if flow {
				cost += yamlNodeBytes
			}
		case '-':
			if blank {
				cost += yamlNodeBytes
			}
		case ':', '?':
			if blank || flow {
				cost += yamlNodeBytes
			}
		}
	}
	return cost
}

func yamlTextCost[T string | []byte](text T) int64 {
	cost := yamlByteBytes * int64(len(text))
	for i := range len(text) {
		switch text[i] {
		case '<', '>', '&', '\\':
			cost += escapedBytes
		}
	}
	return cost
}

// yamlExpansion is what nodes take, each once computed.
type yamlExpansion map[*yamlv3.Node]int64

// unboundedCost is more than there ever is.
const unboundedCost = 1 << 50

// cost is how much memory a node takes when its aliases have been replaced by what
// they refer to.
func (e yamlExpansion) cost(n *yamlv3.Node) int64 {
	if known, ok := e[n]; ok {
		return known
	}
	e[n] = unboundedCost // of one that contains itself
	cost := yamlNodeBytes + yamlTextCost(n.Value)
	if n.Alias != nil {
		cost += e.cost(n.Alias)
	}
	for _, inside := range n.Content {
		cost = min(cost+e.cost(inside), unboundedCost)
	}
	e[n] = cost
	return cost
}
