package kube

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What tells things apart still does when it is cut.
func TestIdentitiesStayDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := strings.Repeat("n", rapid.IntRange(0, 2*MaxIdentity).Draw(t, "common"))
		tail := rapid.SliceOfNDistinct(rapid.StringN(0, 600, -1), 2, 2, rapid.ID[string])
		two := tail.Draw(t, "tails")
		a, b := identity(common+two[0]), identity(common+two[1])
		if a == b {
			t.Fatalf("two are one: %q", a)
		}
		if len(a) > MaxIdentity || len(b) > MaxIdentity {
			t.Fatal("they are not cut")
		}
		if len(common+two[0]) <= MaxIdentity && a != common+two[0] {
			t.Fatal("one was cut that need not be")
		}
	})
}
