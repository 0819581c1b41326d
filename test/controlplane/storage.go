package controlplane

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// provisioner is nobody's but Provision's.
const provisioner = "provisioner.test"

// AddStorageClass adds a class whose claims wait for Provision.
func AddStorageClass(ctx context.Context, client kubernetes.Interface, name string, mode storagev1.VolumeBindingMode) error {
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode,
	}, metav1.CreateOptions{})
	return err
}

// Provision does for a claim what its class's provisioner would: once asked, it
// takes its time to make a volume, which the controller manager then binds. It
// says so in Events.
func Provision(ctx context.Context, client kubernetes.Interface, claim *corev1.PersistentVolumeClaim, takes time.Duration) error {
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		var err error
		claim, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, claim.Name, metav1.GetOptions{})
		return err == nil && asked(claim), err
	})
	if err != nil {
		return fmt.Errorf("controlplane: claim is not to be provisioned: %w", err)
	}
	// It ends with ctx: to end it here would lose the Events that it has yet to
	// write.
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: provisioner})

	recorder.Eventf(claim, corev1.EventTypeNormal, "Provisioning", "External provisioner is provisioning volume for claim %q", claim.Namespace+"/"+claim.Name)
	time.Sleep(takes)
	name := "pvc-" + string(claim.UID)
	_, err = client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes, Capacity: claim.Spec.Resources.Requests, StorageClassName: *claim.Spec.StorageClassName,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/" + name}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("controlplane: provision %s: %w", claim.Name, err)
	}
	recorder.Eventf(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", name)
	return nil
}

// asked says that it is the provisioner's turn: the scheduler has chosen a node,
// or nothing needs to be waited for.
func asked(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Annotations["volume.kubernetes.io/storage-provisioner"] == provisioner
}
