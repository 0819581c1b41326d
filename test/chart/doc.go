// Package chart tests what installs rollspan: the Helm chart in deploy/helm, and that the
// plain manifests in config and deploy say the same. Real helm renders and checks it, and
// the real kubectl has its kustomize; package e2e installs it into a cluster.
package chart
