package journal

import "k8s.io/apimachinery/pkg/types"

// groups are sets of objects that belong together.
type groups struct {
	ids    map[types.UID]int
	parent []int
}

func newGroups() groups { return groups{ids: map[types.UID]int{}} }

// of is the group of an object.
func (g *groups) of(uid types.UID) int {
	id, ok := g.ids[uid]
	if !ok {
		id = len(g.parent)
		g.ids[uid] = id
		g.parent = append(g.parent, id)
	}
	return g.root(id)
}

// root is the group that a group is part of.
func (g *groups) root(id int) int {
	for g.parent[id] != id {
		g.parent[id] = g.parent[g.parent[id]]
		id = g.parent[id]
	}
	return id
}

func (g *groups) join(a, b int) { g.parent[g.root(a)] = g.root(b) }
