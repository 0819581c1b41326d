package history

import (
	"bytes"
	"slices"
	"sync"
)

// memoryTables are tables in memory: lists in order, as nearly all is put at the end of them and
// dropped at the beginning.
type memoryTables struct {
	mu     sync.RWMutex
	tables map[table]*[]pair
	bytes  int64
}

type pair struct{ key, value []byte }

// pairBytes is about what a pair takes beside its bytes.
const pairBytes = 80

func newMemoryTables() *memoryTables {
	m := &memoryTables{tables: map[table]*[]pair{}}
	for _, t := range allTables {
		m.tables[t] = &[]pair{}
	}
	return m
}

func (m *memoryTables) view(read func(reader) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return read(&memoryTx{m: m})
}

func (m *memoryTables) update(write func(writer) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memoryTx{m: m}
	err := write(tx)
	if err != nil {
		for _, undo := range slices.Backward(tx.undo) {
			undo()
		}
	}
	return err
}

func (m *memoryTables) used() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bytes
}

func (m *memoryTables) close() error { return nil }

type memoryTx struct {
	m    *memoryTables
	undo []func()
}

func (tx *memoryTx) find(t table, key []byte) (list *[]pair, at int, found bool) {
	list = tx.m.tables[t]
	at, found = slices.BinarySearchFunc(*list, key, func(p pair, key []byte) int { return bytes.Compare(p.key, key) })
	return list, at, found
}

func (tx *memoryTx) get(t table, key []byte) []byte {
	list, at, found := tx.find(t, key)
	if !found {
		return nil
	}
	return (*list)[at].value
}

func (tx *memoryTx) put(t table, key, value []byte) error {
	list, at, found := tx.find(t, key)
	if found {
		old := (*list)[at].value
		tx.undo = append(tx.undo, func() { tx.set(t, key, old) })
	} else {
		tx.undo = append(tx.undo, func() { tx.remove(t, key) })
		*list = slices.Insert(*list, at, pair{key: slices.Clone(key)})
		tx.m.bytes += int64(len(key)) + pairBytes
	}
	tx.set(t, key, slices.Clone(value))
	return nil
}

func (tx *memoryTx) set(t table, key, value []byte) {
	list, at, _ := tx.find(t, key)
	tx.m.bytes += int64(len(value) - len((*list)[at].value))
	(*list)[at].value = value
}

func (tx *memoryTx) delete(t table, key []byte) error {
	if old := tx.get(t, key); old != nil {
		key = slices.Clone(key)
		tx.undo = append(tx.undo, func() { _ = tx.put(t, key, old) }) // which never fails
		tx.remove(t, key)
	}
	return nil
}

func (tx *memoryTx) remove(t table, key []byte) {
	list, at, _ := tx.find(t, key)
	tx.m.bytes -= int64(len(key)+len((*list)[at].value)) + pairBytes
	*list = slices.Delete(*list, at, at+1)
}

func (tx *memoryTx) cursor(t table) cursor { return &memoryCursor{list: *tx.m.tables[t]} }

type memoryCursor struct {
	list []pair
	at   int
}

func (c *memoryCursor) here() (key, value []byte) {
	if c.at < 0 || c.at >= len(c.list) {
		return nil, nil
	}
	return c.list[c.at].key, c.list[c.at].value
}

func (c *memoryCursor) Last() (key, value []byte) {
	c.at = len(c.list) - 1
	return c.here()
}

func (c *memoryCursor) Seek(to []byte) (key, value []byte) {
	c.at, _ = slices.BinarySearchFunc(c.list, to, func(p pair, key []byte) int { return bytes.Compare(p.key, key) })
	return c.here()
}

func (c *memoryCursor) Next() (key, value []byte) {
	c.at = min(c.at+1, len(c.list))
	return c.here()
}

func (c *memoryCursor) Prev() (key, value []byte) {
	c.at = max(c.at-1, -1)
	return c.here()
}
