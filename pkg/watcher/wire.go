package watcher

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// wireCut says which fields of a protobuf message are cut out before it is decoded, by
// their numbers in Kubernetes' generated.proto: nil is a field that goes, another cut
// goes on within it. Whatever is not named stays, unknown fields too.
type wireCut map[protowire.Number]wireCut

// What decoding costs most of where pods come and go is what trim drops right after: who owns
// which field, what containers are to run with, the volume of each pod's token. So it is not
// decoded. trim remains what says what is dropped, and drops it from JSON as well; what is
// cut here is a part of that, which is a test. What is read before stays: the times of managed
// fields (statedBy), and annotations, by which a bookmark says that a streamed list is at its end.
var (
	metaWithoutFields = wireCut{17: {7: nil}} // managedFields[].fieldsV1
	containerOfPod    = wireCut{
		3: nil, 4: nil, // command, args
		6: nil, 7: nil, 8: nil, 9: nil, // ports, env, resources, volumeMounts
		15: nil, 19: nil, 21: nil, // securityContext, envFrom, volumeDevices
		10: {1: nil}, 11: {1: nil}, 22: {1: nil}, // the handlers of liveness, readiness and startup probes
		12: {1: hookOfPod, 2: hookOfPod}, // lifecycle: postStart, preStop
	}
	hookOfPod            = wireCut{1: nil, 2: nil, 3: nil, 4: nil} // exec, httpGet, tcpSocket, sleep
	containerStatusOfPod = wireCut{10: nil, 11: nil, 12: nil}      // allocatedResources, resources, volumeMounts

	wireCuts = map[schema.GroupVersionKind]wireCut{
		podKind.GroupVersionKind: {
			1: metaWithoutFields,
			2: { // spec
				1:  {2: {6: nil, 16: nil, 19: nil, 26: nil}}, // volumes of secrets, downward API, config maps, and projected ones
				2:  containerOfPod,
				18: nil, // affinity
				20: containerOfPod,
				22: nil,                 // tolerations
				33: nil,                 // topologySpreadConstraints
				34: {1: containerOfPod}, // ephemeralContainers[].ephemeralContainerCommon
			},
			3: {8: containerStatusOfPod, 10: containerStatusOfPod}, // status
		},
		eventKind.GroupVersionKind: {1: metaWithoutFields},
		nodeKind.GroupVersionKind: {
			3: {1: nil, 2: nil, 5: nil, 6: nil, 8: nil, 9: nil, 10: nil, 11: nil, 12: nil, 13: nil, 14: nil}, // status, but phase, conditions, nodeInfo
		},
	}
)

// cut takes the fields out of a message, in place, and returns what is left, which is
// a part of the same memory. After an error the message is no longer what it was.
func (c wireCut) cut(message []byte) ([]byte, error) {
	kept := 0
	for at := 0; at < len(message); {
		number, kind, tag := protowire.ConsumeTag(message[at:])
		if tag < 0 {
			return nil, protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(number, kind, message[at+tag:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		value, end := at+tag, at+tag+size
		within, named := c[number]
		switch {
		case !named || within != nil && kind != protowire.BytesType:
			kept += copy(message[kept:], message[at:end])
		case within != nil:
			content, _ := protowire.ConsumeBytes(message[value:end])
			left, err := within.cut(content)
			if err != nil {
				return nil, err
			}
			length := size - len(content)
			kept += copy(message[kept:], message[at:value])
			putLength(message[kept:kept+length], len(left))
			kept += length
			kept += copy(message[kept:], left)
		}
		at = end
	}
	return message[:kept], nil
}

// putLength fills all of these bytes with a length, as a varint that may end in zeros:
// where the length stood is as wide as it was when there was more.
func putLength(bytes []byte, length int) {
	for i := range bytes {
		bytes[i] = byte(length) | 0x80
		length >>= 7
	}
	bytes[len(bytes)-1] &= 0x7f
}

// wirePrefix begins each of Kubernetes' objects in protobuf, and before a runtime.Unknown
// (k8s.io/apimachinery/pkg/runtime/serializer/protobuf).
const wirePrefix = "k8s\x00"

// cutObject takes out of an object in protobuf, in place, what wireCuts names of its kind.
// What is in another form, a list, or of another kind stays as it is.
func cutObject(data []byte) ([]byte, error) {
	if len(data) < len(wirePrefix) || string(data[:len(wirePrefix)]) != wirePrefix {
		return data, nil
	}
	unknown := data[len(wirePrefix):]
	c := wireCuts[kindOf(unknown)]
	if c == nil {
		return data, nil
	}
	left, err := wireCut{2: c}.cut(unknown) // raw
	if err != nil {
		return nil, fmt.Errorf("an object in protobuf: %w", err)
	}
	return data[:len(wirePrefix)+len(left)], nil
}

// kindOf reads the kind from a runtime.Unknown's type, its first field.
func kindOf(unknown []byte) schema.GroupVersionKind {
	number, kind, tag := protowire.ConsumeTag(unknown)
	if tag < 0 || number != 1 || kind != protowire.BytesType {
		return schema.GroupVersionKind{}
	}
	content, size := protowire.ConsumeBytes(unknown[tag:])
	if size < 0 {
		return schema.GroupVersionKind{}
	}
	var meta runtime.TypeMeta
	if meta.Unmarshal(content) != nil {
		return schema.GroupVersionKind{}
	}
	return schema.FromAPIVersionAndKind(meta.APIVersion, meta.Kind)
}

// cutting are serializers whose decoders cut objects before they decode them, and change
// the bytes that they are given. A watch gives each decoder bytes of its own.
type cutting struct{ runtime.NegotiatedSerializer }

func (c cutting) DecoderToVersion(decoder runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	return cuttingDecoder{c.NegotiatedSerializer.DecoderToVersion(decoder, gv)}
}

type cuttingDecoder struct{ runtime.Decoder }

func (d cuttingDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	data, err := cutObject(data)
	if err != nil {
		return nil, nil, err
	}
	return d.Decoder.Decode(data, defaults, into)
}
