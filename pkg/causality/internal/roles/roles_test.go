package roles

import "testing"

// TestFactsDeductionsAndDeliveryAreApart finds every write of the engine's that breaks the
// rule: what was observed is written only while observing; what is deduced from it is
// written nowhere but in what is returned; and what was handed out is noted by ledgers.
func TestFactsDeductionsAndDeliveryAreApart(t *testing.T) {
	c := &checker{rules: engineRules, source: readEngine(t)}
	if found := c.check(); len(found) > 0 {
		t.Errorf("facts, deductions and delivery are mixed up in %d places; the table of roles is in internal/roles/table_test.go:\n%s", len(found), listed(found))
	}
}
