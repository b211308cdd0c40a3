package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a positive length of time, written like 500ms, 10s or 2m30s.
//
// It is not metav1.Duration because the CRD of that type is any string: a
// wrong one would be stored, and then fail in every client that reads it.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="must be a positive duration such as 500ms, 10s or 2m30s"
type Duration struct {
	time.Duration `json:"-"`
}

// Every returns the duration as the resource writes it.
func Every(d time.Duration) Duration { return Duration{Duration: d} }

// MarshalJSON writes the duration as a string such as "2m30s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(d.Duration.String())
}

// UnmarshalJSON reads a string such as "2m30s". "0s" is how an unset Duration
// is written, and reads as one; the API server refuses it from people.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" { // left out, as everywhere in encoding/json
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("duration %s must be a string such as \"500ms\", \"10s\" or \"2m30s\"", data)
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return fmt.Errorf("duration %q must be positive, such as 500ms, 10s or 2m30s", s)
	}
	d.Duration = parsed
	return nil
}

// IsZero reports whether no duration is set; encoding/json leaves such a field out.
func (d Duration) IsZero() bool { return d.Duration == 0 }
