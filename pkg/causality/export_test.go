package causality

// SetWorkBudget bounds how much work one object or workload may cause at once.
func (e *Engine) SetWorkBudget(steps int) { e.budget = steps }
