package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Backup copies what etcd has, for [ControlPlane.Restore]. The API server is away meanwhile, and the
// controllers and the scheduler are.
func (c *ControlPlane) Backup(ctx context.Context) error {
	return c.whileStopped(ctx, func() error {
		if err := os.RemoveAll(c.backup()); err != nil {
			return err
		}
		return os.CopyFS(c.backup(), os.DirFS(c.etcdData()))
	})
}

// Restore has etcd begin with what it had when [ControlPlane.Backup] was called. Its revisions, of
// which the resource versions of objects are made, are counted on from there, as they are after
// `etcdutl snapshot restore` without --bump-revision. All processes are started again, as Kubernetes
// asks for.
func (c *ControlPlane) Restore(ctx context.Context) error {
	return c.whileStopped(ctx, func() error {
		if err := os.RemoveAll(c.etcdData()); err != nil {
			return err
		}
		return os.CopyFS(c.etcdData(), os.DirFS(c.backup()))
	})
}

func (c *ControlPlane) etcdData() string { return filepath.Join(c.dir, etcdFolder) }
func (c *ControlPlane) backup() string   { return filepath.Join(c.dir, etcdFolder+"-backup") }

// whileStopped does something while all processes of the cluster are stopped, and starts them again at the
// addresses that they had. The nodes run on.
func (c *ControlPlane) whileStopped(ctx context.Context, do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("controlplane: it was stopped")
	}
	for _, p := range slices.Backward(c.processes) {
		p.kill()
	}
	if err := do(); err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	for i, p := range c.processes {
		again, err := p.again(ctx)
		if err != nil {
			return err
		}
		c.processes[i] = again
	}
	return nil
}

// etcdFolder is where etcd has its data, in the directory of the cluster.
const etcdFolder = "etcd"
