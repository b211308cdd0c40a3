package perfmodel

// WeightType is how the matrices of a model are stored. The zero value is 16 bits.
type WeightType string

// The types that are known. BF16 stands for any 16 bits.
const (
	BF16  WeightType = ""
	FP8   WeightType = "fp8"
	INT4  WeightType = "int4"
	MXFP4 WeightType = "mxfp4"
)

// Bytes are those of one parameter with its share of the scales: one 32-bit scale for 128x128 fp8 values, a 16-bit scale
// and a 4-bit zero for 128 int4 values (AWQ, GPTQ), an 8-bit scale for 32 mxfp4 values.
func (w WeightType) Bytes() float64 {
	switch w {
	case FP8:
		return 1 + 4.0/(128*128)
	case INT4:
		return (4 + (16.0+4)/128) / 8
	case MXFP4:
		return (4 + 8.0/32) / 8
	}
	return 2
}

func (w WeightType) known() bool { return w == BF16 || w == FP8 || w == INT4 || w == MXFP4 }

// read is the share of the peak bandwidth that weights of this type are read at.
func (w WeightType) read(p priors) prior {
	switch w {
	case FP8:
		return p.WeightReadFP8
	case INT4, MXFP4:
		return p.WeightRead4Bit
	}
	return p.WeightReadBf16
}

// multiply is the rate of one GPU's large matrix products with weights of this type, FLOP/s. 4-bit weights are unpacked and
// multiplied in 16 bits.
func (w WeightType) multiply(g GPU, p priors) float64 {
	if w == FP8 {
		return g.FP8FLOPs * p.GEMMFP8.Mean * p.PowerLimit.Mean
	}
	return g.Bf16FLOPs * p.GEMMBf16.Mean * p.PowerLimit.Mean
}

// gemm is the prior behind multiply.
func (w WeightType) gemm(p priors) prior {
	if w == FP8 {
		return p.GEMMFP8
	}
	return p.GEMMBf16
}
