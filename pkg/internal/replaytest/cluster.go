package replaytest

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Cluster has the objects that are there at a time, as a list of all kinds would. The zero value is
// empty.
type Cluster struct {
	there map[types.UID]runtime.Object
	order []types.UID // in which they were first seen
}

// Take takes in what a watch says of an object.
func (c *Cluster) Take(event watch.EventType, o runtime.Object) {
	uid := o.(metav1.Object).GetUID()
	if event == watch.Deleted {
		delete(c.there, uid)
		c.order = slices.DeleteFunc(c.order, func(other types.UID) bool { return other == uid })
		return
	}
	if c.there == nil {
		c.there = map[types.UID]runtime.Object{}
	}
	if _, known := c.there[uid]; !known {
		c.order = append(c.order, uid)
	}
	c.there[uid] = o
}

// Objects are those that are there.
func (c *Cluster) Objects() []runtime.Object {
	var objects []runtime.Object
	for _, uid := range c.order {
		objects = append(objects, c.there[uid])
	}
	return objects
}
