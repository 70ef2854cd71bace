from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Detail(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DETAIL_SHORT: _ClassVar[Detail]
    DETAIL_REPORT: _ClassVar[Detail]
    DETAIL_ROWS: _ClassVar[Detail]
DETAIL_SHORT: Detail
DETAIL_REPORT: Detail
DETAIL_ROWS: Detail

class Target(_message.Message):
    __slots__ = ("name", "toml")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOML_FIELD_NUMBER: _ClassVar[int]
    name: str
    toml: str
    def __init__(self, name: _Optional[str] = ..., toml: _Optional[str] = ...) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ("id", "spec_json", "graph_json", "tflite", "more", "target", "evaluator", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    GRAPH_JSON_FIELD_NUMBER: _ClassVar[int]
    TFLITE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: int
    spec_json: bytes
    graph_json: bytes
    tflite: bytes
    more: bool
    target: Target
    evaluator: str
    detail: Detail
    def __init__(self, id: _Optional[int] = ..., spec_json: _Optional[bytes] = ..., graph_json: _Optional[bytes] = ..., tflite: _Optional[bytes] = ..., more: _Optional[bool] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., evaluator: _Optional[str] = ..., detail: _Optional[_Union[Detail, str]] = ...) -> None: ...

class EstimateBatchRequest(_message.Message):
    __slots__ = ("requests", "target", "evaluator")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[EstimateRequest]
    target: Target
    evaluator: str
    def __init__(self, requests: _Optional[_Iterable[_Union[EstimateRequest, _Mapping]]] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., evaluator: _Optional[str] = ...) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ("id", "cost", "error", "cached")
    ID_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    id: int
    cost: Cost
    error: Error
    cached: bool
    def __init__(self, id: _Optional[int] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., cached: _Optional[bool] = ...) -> None: ...

class EstimateBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[EstimateResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[EstimateResponse, _Mapping]]] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("latency_ms", "active_energy_mj", "energy_mj", "macs", "parameter_bytes", "streamed_bytes", "weights", "declared_error", "target_id", "evaluator_id", "graph_name", "target_name", "utilization", "model_terms", "rows")
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_ENERGY_MJ_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MJ_FIELD_NUMBER: _ClassVar[int]
    MACS_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAMED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    DECLARED_ERROR_FIELD_NUMBER: _ClassVar[int]
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_ID_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_NAME_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_TERMS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    latency_ms: float
    active_energy_mj: float
    energy_mj: float
    macs: int
    parameter_bytes: int
    streamed_bytes: int
    weights: int
    declared_error: float
    target_id: str
    evaluator_id: str
    graph_name: str
    target_name: str
    utilization: float
    model_terms: ModelTerms
    rows: _containers.RepeatedCompositeFieldContainer[OpRow]
    def __init__(self, latency_ms: _Optional[float] = ..., active_energy_mj: _Optional[float] = ..., energy_mj: _Optional[float] = ..., macs: _Optional[int] = ..., parameter_bytes: _Optional[int] = ..., streamed_bytes: _Optional[int] = ..., weights: _Optional[int] = ..., declared_error: _Optional[float] = ..., target_id: _Optional[str] = ..., evaluator_id: _Optional[str] = ..., graph_name: _Optional[str] = ..., target_name: _Optional[str] = ..., utilization: _Optional[float] = ..., model_terms: _Optional[_Union[ModelTerms, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[OpRow, _Mapping]]] = ...) -> None: ...

class ModelTerms(_message.Message):
    __slots__ = ("input_bytes", "output_bytes", "instruction_bytes", "input_us", "output_us", "instruction_us", "fixed_us")
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    INPUT_US_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_US_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_US_FIELD_NUMBER: _ClassVar[int]
    FIXED_US_FIELD_NUMBER: _ClassVar[int]
    input_bytes: int
    output_bytes: int
    instruction_bytes: int
    input_us: float
    output_us: float
    instruction_us: float
    fixed_us: float
    def __init__(self, input_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., instruction_bytes: _Optional[int] = ..., input_us: _Optional[float] = ..., output_us: _Optional[float] = ..., instruction_us: _Optional[float] = ..., fixed_us: _Optional[float] = ...) -> None: ...

class Shape(_message.Message):
    __slots__ = ("sizes",)
    SIZES_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class OpRow(_message.Message):
    __slots__ = ("name", "kind", "input_shapes", "output_shapes", "macs", "cycles", "time_us", "binding", "utilization", "bytes_by_level", "pj_by_component", "why")
    class BytesByLevelEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class PjByComponentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHAPES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SHAPES_FIELD_NUMBER: _ClassVar[int]
    MACS_FIELD_NUMBER: _ClassVar[int]
    CYCLES_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    BYTES_BY_LEVEL_FIELD_NUMBER: _ClassVar[int]
    PJ_BY_COMPONENT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    input_shapes: _containers.RepeatedCompositeFieldContainer[Shape]
    output_shapes: _containers.RepeatedCompositeFieldContainer[Shape]
    macs: int
    cycles: int
    time_us: float
    binding: str
    utilization: float
    bytes_by_level: _containers.ScalarMap[str, int]
    pj_by_component: _containers.ScalarMap[str, float]
    why: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., input_shapes: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ..., output_shapes: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ..., macs: _Optional[int] = ..., cycles: _Optional[int] = ..., time_us: _Optional[float] = ..., binding: _Optional[str] = ..., utilization: _Optional[float] = ..., bytes_by_level: _Optional[_Mapping[str, int]] = ..., pj_by_component: _Optional[_Mapping[str, float]] = ..., why: _Optional[str] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("kind", "message", "path")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INTERNAL: _ClassVar[Error.Kind]
        USAGE: _ClassVar[Error.Kind]
        SPEC: _ClassVar[Error.Kind]
        DATA: _ClassVar[Error.Kind]
        ENVIRONMENT: _ClassVar[Error.Kind]
        UNSUPPORTED: _ClassVar[Error.Kind]
        LIMIT: _ClassVar[Error.Kind]
    INTERNAL: Error.Kind
    USAGE: Error.Kind
    SPEC: Error.Kind
    DATA: Error.Kind
    ENVIRONMENT: Error.Kind
    UNSUPPORTED: Error.Kind
    LIMIT: Error.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    kind: Error.Kind
    message: str
    path: str
    def __init__(self, kind: _Optional[_Union[Error.Kind, str]] = ..., message: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("target", "evaluator")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_FIELD_NUMBER: _ClassVar[int]
    target: Target
    evaluator: str
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., evaluator: _Optional[str] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("target_id", "evaluator_id", "targets", "evaluators", "reads_specs", "workers", "max_message_bytes", "max_file_bytes", "max_batch")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_ID_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    EVALUATORS_FIELD_NUMBER: _ClassVar[int]
    READS_SPECS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    evaluator_id: str
    targets: _containers.RepeatedScalarFieldContainer[str]
    evaluators: _containers.RepeatedScalarFieldContainer[str]
    reads_specs: bool
    workers: int
    max_message_bytes: int
    max_file_bytes: int
    max_batch: int
    def __init__(self, target_id: _Optional[str] = ..., evaluator_id: _Optional[str] = ..., targets: _Optional[_Iterable[str]] = ..., evaluators: _Optional[_Iterable[str]] = ..., reads_specs: _Optional[bool] = ..., workers: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_file_bytes: _Optional[int] = ..., max_batch: _Optional[int] = ...) -> None: ...
