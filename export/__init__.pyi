from export.exporter import export_converter as export_converter
from export.exporter import export_run as export_run
from export.metadata import ModelCard as ModelCard
from export.metadata import read_metadata as read_metadata
from export.runtime import load_tflite as load_tflite
from export.table import format_report as format_report
from export.verification import ExportError as ExportError
