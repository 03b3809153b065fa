package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/herald-im/herald/protocol"
)

// Directories of the vectors, from the protocol directory.
const (
	vectorsDir    = "testdata"
	methodVectors = "methods"
	eventVectors  = "events"
	frameVectors  = "frames"
)

// methodVector is testdata/methods/<method>.json.
type methodVector struct {
	Method       string          `json:"method"`
	RequestJSON  json.RawMessage `json:"requestJSON"`
	AlsoAccepted []string        `json:"alsoAccepted,omitempty"` // texts: one may be empty
	Request      string          `json:"request"`                // CBOR in hex
	ResponseJSON json.RawMessage `json:"responseJSON"`
	Response     string          `json:"response"` // CBOR in hex
}

// eventVector is testdata/events/<event>.json.
type eventVector struct {
	Event     string          `json:"event"`
	Listen    []string        `json:"listen"`
	Transient bool            `json:"transient"`
	JSON      json.RawMessage `json:"json"`
}

// frameVector is testdata/frames/<kind>[-<case>].json.
type frameVector struct {
	About string `json:"about"`
	CBOR  string `json:"cbor"` // in hex
	Diag  string `json:"diag"` // RFC 8949 §8
	// Frame is the same with the names of the Go structs, bodies in base64;
	// what is empty is left out.
	Frame json.RawMessage `json:"frame"`
}

// vectors makes every vector, by its path from the protocol directory.
func vectors() (map[string][]byte, error) {
	out := map[string][]byte{}
	add := func(kind, name string, v any) error {
		b, err := indented(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out[vectorsDir+"/"+kind+"/"+name+".json"] = b
		return nil
	}
	for _, i := range protocol.Methods() {
		s, err := methodSampleOf(i)
		if err != nil {
			return nil, err
		}
		v, err := s.vector()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Name, err)
		}
		if err := add(methodVectors, i.Name, v); err != nil {
			return nil, err
		}
	}
	for _, e := range protocol.Events() {
		s, err := eventSampleOf(e)
		if err != nil {
			return nil, err
		}
		if err := add(eventVectors, e.Name, eventVector{e.Name, e.Listen, e.Transient, s.occurrence.JSON}); err != nil {
			return nil, err
		}
	}
	for _, s := range frameSamples() {
		v, err := s.vector()
		if err != nil {
			return nil, fmt.Errorf("frame %s: %w", s.name, err)
		}
		if err := add(frameVectors, s.name, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s methodSample) vector() (v methodVector, err error) {
	request, err := s.info.RequestToCBOR([]byte(s.request))
	if err != nil {
		return v, err
	}
	response, err := protocol.Marshal(s.result)
	if err != nil {
		return v, err
	}
	answer, err := s.responseJSON()
	if err != nil {
		return v, err
	}
	return methodVector{
		s.info.Name, json.RawMessage(s.request), s.also, hex.EncodeToString(request), answer, hex.EncodeToString(response),
	}, nil
}

func (s frameSample) vector() (v frameVector, err error) {
	wire, err := protocol.EncodeFrame(&s.frame)
	if err != nil {
		return v, err
	}
	diag, err := cbor.Diagnose(wire)
	if err != nil {
		return v, err
	}
	named, err := json.Marshal(s.frame)
	if err != nil {
		return v, err
	}
	d := json.NewDecoder(bytes.NewReader(named))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return v, err
	}
	named, err = json.Marshal(withoutZeros(tree))
	if err != nil {
		return v, err
	}
	return frameVector{s.about, hex.EncodeToString(wire), diag, named}, nil
}

// withoutZeros leaves out the fields that say nothing, of objects in a tree of JSON.
func withoutZeros(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		for k, v := range t {
			if v == nil || v == json.Number("0") || v == "" || v == false {
				delete(t, k)
			} else {
				t[k] = withoutZeros(v)
			}
		}
	case []any:
		for i := range t {
			t[i] = withoutZeros(t[i])
		}
	}
	return tree
}

// indented is v as people read JSON, with < and & as themselves.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
