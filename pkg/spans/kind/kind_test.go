package kind

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Each kind is in the table, with a name of its own, and no change has two kinds of roots.
func TestTable(t *testing.T) {
	names, changes := map[string]Kind{}, map[attr.Change]Kind{}
	for _, k := range All() {
		name := k.Name("Shop")
		if other, taken := names[name]; taken || k.String() == "" {
			t.Errorf("the kinds %d and %d are both named %q", other, k, name)
		}
		names[name] = k
		if c := k.Change(); c != "" {
			if OfChange(c) != k {
				t.Errorf("roots that tell of %s are %q, and %q", c, OfChange(c), k)
			}
			changes[c] = k
		}
		if within := table[k].within; within != 0 && k.Phase(within) == k.Phase(0) {
			t.Errorf("%q counts as %s within %q, too", k, k.Phase(0), within)
		}
	}
	if len(names) != int(end)-1 || len(changes) != 10 {
		t.Errorf("%d kinds have names, and %d of them are changes", len(names), len(changes))
	}
}

// What is read from elsewhere need not be in the table.
func TestUnknown(t *testing.T) {
	for _, k := range []Kind{0, end, 255} {
		if k.String() != "" || k.ID() != "" || k.Phase(PodStop) != attr.PhaseUnknown || k.Change() != "" {
			t.Errorf("%d is known as %q", k, k)
		}
	}
	if k := OfChange("migration"); k != 0 {
		t.Errorf("a migration is %q", k)
	}
	if k := OfChange(""); k != 0 {
		t.Errorf("no change is %q", k)
	}
}
