package rbgfake

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScalingTargets(t *testing.T) {
	for name, tc := range map[string]struct {
		roles       map[string]progress
		progression string
		maxSkew     float64
		want        map[string]int64
	}{
		"all are there": {
			roles: map[string]progress{"prefill": {2, 2, 2, 2}, "decode": {1, 1, 1, 1}}, progression: "OrderScheduled", maxSkew: 0.1,
			want: map[string]int64{"prefill": 2, "decode": 1},
		},
		"growth is held, and a shrinking role with it": {
			roles: map[string]progress{"prefill": {2, 4, 4, 4}, "decode": {4, 3, 2, 2}}, progression: "OrderScheduled", maxSkew: 1,
			want: map[string]int64{"prefill": 4, "decode": 3},
		},
		"a role that has all it asks for holds nobody": {
			roles: map[string]progress{"prefill": {2, 4, 4, 4}, "decode": {3, 3, 2, 2}}, progression: "OrderScheduled", maxSkew: 0.1,
			want: map[string]int64{"prefill": 2, "decode": 3},
		},
		"scheduled is enough": {
			roles: map[string]progress{"prefill": {4, 2, 2, 0}, "decode": {1, 1, 1, 1}}, progression: "OrderScheduled", maxSkew: 1,
			want: map[string]int64{"prefill": 4, "decode": 1},
		},
		"or ready is asked for": {
			roles: map[string]progress{"prefill": {4, 2, 2, 1}, "decode": {1, 1, 1, 1}}, progression: "OrderReady", maxSkew: 1,
			want: map[string]int64{"prefill": 2, "decode": 1},
		},
		"without a progression nobody is held": {
			roles: map[string]progress{"prefill": {2, 4, 4, 4}, "decode": {4, 3, 1, 1}}, maxSkew: 1,
			want: map[string]int64{"prefill": 2, "decode": 4},
		},
		"a role with none yet holds nobody": {
			roles: map[string]progress{"prefill": {4, 0, 0, 0}, "decode": {2, 1, 1, 1}}, progression: "OrderReady", maxSkew: 0.5,
			want: map[string]int64{"prefill": 2, "decode": 1},
		},
		"in step with the one furthest behind": {
			roles: map[string]progress{"prefill": {8, 2, 2, 2}, "decode": {8, 5, 5, 5}}, progression: "OrderScheduled", maxSkew: 0.125,
			want: map[string]int64{"prefill": 3, "decode": 5},
		},
		"at least one more": {
			roles: map[string]progress{"prefill": {10, 2, 2, 2}}, progression: "OrderScheduled", maxSkew: 0.000001,
			want: map[string]int64{"prefill": 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, scalingTargets(tc.roles, tc.progression, tc.maxSkew)); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPercentage(t *testing.T) {
	for _, tc := range []struct {
		value   any
		want    float64
		wantErr string
	}{
		{nil, 1, ""}, {"10%", 0.1, ""}, {" 0% ", 0, ""}, {"100%", 1, ""},
		{int64(1), 0, "must end with '%'"}, {"10", 0, "must end with '%'"}, {"101%", 0, "want 0% to 100%"}, {"-1%", 0, "want 0% to 100%"}, {"x%", 0, "want 0% to 100%"},
	} {
		got, err := percentage(tc.value)
		if got != tc.want || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
			t.Errorf("maxSkew %v is %v, error %v; want %v, %q", tc.value, got, err, tc.want, tc.wantErr)
		}
	}
}

func TestCoordinateRollout(t *testing.T) {
	roles := []role{{name: "prefill", replicas: 4}, {name: "decode", replicas: 2, rollingUpdate: map[string]any{"partition": int64(1)}}}
	for name, tc := range map[string]struct {
		rule map[string]any
		at   map[string]counts
		want map[string]map[string]any
	}{
		"settings": {
			rule: map[string]any{"maxUnavailable": int64(2), "partition": "50%"},
			want: map[string]map[string]any{
				"prefill": {"maxUnavailable": int64(2), "partition": int64(2)}, "decode": {"maxUnavailable": int64(2), "partition": int64(1)},
			},
		},
		"nothing said": {
			rule: map[string]any{},
			want: map[string]map[string]any{"prefill": {"partition": int64(0)}, "decode": {"partition": int64(1)}},
		},
		"in step with the slowest": {
			rule: map[string]any{"maxSkew": "25%", "partition": int64(0)},
			at:   map[string]counts{"prefill": {updated: 1}, "decode": {updated: 1}},
			want: map[string]map[string]any{"prefill": {"partition": int64(2)}, "decode": {"partition": int64(0)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]map[string]any{}
			if err := coordinateRollout(&group{roles: roles}, rule{roles: []string{"prefill", "decode"}, rollingUpdate: tc.rule}, tc.at, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}
