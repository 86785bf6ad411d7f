//! Attempts as a Parquet table: a column per field of the row, moments as timestamps, written a group of rows at a time.

use ::ledger::record::COLUMNS;
use ::ledger::{Attempt, Cell, Kind};
use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// Rows per group: some ten megabytes.
const GROUP: usize = 20_000;

/// The values of one column of a group.
enum Column {
    Integer(Vec<i64>),
    Real(Vec<f64>),
    Text(Vec<ByteArray>),
}

/// A table that is being written.
pub(super) struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    /// Per column: whether each row says it, as the format wants it.
    said: Vec<Vec<i16>>,
    rows: usize,
}

impl<W: Write + Send> Table<W> {
    /// A table written to `to`.
    ///
    /// # Errors
    /// It cannot be begun.
    pub(super) fn new(to: W) -> anyhow::Result<Self> {
        let fields = COLUMNS.iter().map(|column| {
            let (physical, logical) = match column.kind {
                Kind::Integer if column.name == "started" => {
                    let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
                    (Physical::INT64, Some(micros))
                }
                Kind::Integer => (Physical::INT64, None),
                Kind::Real => (Physical::DOUBLE, None),
                Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(column.name, physical)
                .with_repetition(if column.required { Repetition::REQUIRED } else { Repetition::OPTIONAL })
                .with_logical_type(logical);
            field.build().map(Arc::new)
        });
        let schema = Type::group_type_builder("attempts").with_fields(fields.collect::<Result<_, _>>()?).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::GZIP(Default::default())).build();
        let file = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties))?;
        let mut table = Self { file, columns: Vec::new(), said: Vec::new(), rows: 0 };
        table.clear();
        Ok(table)
    }

    fn clear(&mut self) {
        let empty = |kind: Kind| match kind {
            Kind::Integer => Column::Integer(Vec::new()),
            Kind::Real => Column::Real(Vec::new()),
            Kind::Text => Column::Text(Vec::new()),
        };
        self.columns = COLUMNS.iter().map(|column| empty(column.kind)).collect();
        self.said = vec![Vec::new(); COLUMNS.len()];
        self.rows = 0;
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A group of rows is full and cannot be written.
    pub(super) fn add(&mut self, row: &Attempt) -> anyhow::Result<()> {
        for ((cell, column), said) in row.cells().zip(&mut self.columns).zip(&mut self.said) {
            said.push(i16::from(cell != Cell::Null));
            match (column, cell) {
                (Column::Integer(values), Cell::Integer(value)) => values.push(value),
                (Column::Real(values), Cell::Real(value)) => values.push(value),
                (Column::Text(values), Cell::Text(value)) => {
                    values.push(ByteArray::from(value.into_owned().into_bytes()))
                }
                _ => {}
            }
        }
        self.rows += 1;
        if self.rows >= GROUP { self.group() } else { Ok(()) }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        if self.rows > 0 {
            self.group()?;
        }
        self.file.close()?;
        Ok(())
    }

    fn group(&mut self) -> anyhow::Result<()> {
        let mut group = self.file.next_row_group()?;
        for ((column, said), about) in self.columns.iter().zip(&self.said).zip(COLUMNS) {
            let Some(mut writer) = group.next_column()? else { break };
            let said = (!about.required).then_some(said.as_slice());
            match column {
                Column::Integer(values) => writer.typed::<Int64Type>().write_batch(values, said, None)?,
                Column::Real(values) => writer.typed::<DoubleType>().write_batch(values, said, None)?,
                Column::Text(values) => writer.typed::<ByteArrayType>().write_batch(values, said, None)?,
            };
            writer.close()?;
        }
        group.close()?;
        self.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::ledger::{Outcome, RequestId};
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = Vec::new();
        let mut table = Table::new(&mut bytes).unwrap();
        let row = |number: u64| Attempt {
            outcome: Outcome::Ok,
            product: (!number.is_multiple_of(3)).then(|| format!("product-{}", number % 3).into()),
            input_tokens: number.is_multiple_of(2).then_some(number),
            score: Some(0.5),
            ..Attempt::new(RequestId::new(number, 1), 1, i64::try_from(number).unwrap())
        };
        let rows = GROUP as u64 + 10;
        (0..rows).for_each(|number| table.add(&row(number)).unwrap());
        table.end().unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.metadata().num_row_groups(), 2);
        let at = |name: &str| COLUMNS.iter().position(|column| column.name == name).unwrap();
        let mut read = 0;
        for (number, found) in (0..).zip(file.get_row_iter(None).unwrap()) {
            let (found, wanted) = (found.unwrap(), row(number));
            assert_eq!(found.get_string(at("request_id")).unwrap(), &wanted.request_id.text());
            assert_eq!(found.get_timestamp_micros(at("started")).unwrap(), wanted.started);
            let tokens = found.get_long(at("input_tokens")).ok();
            assert_eq!(tokens, wanted.input_tokens.map(|count| i64::try_from(count).unwrap()));
            assert_eq!(found.get_string(at("product")).ok().map(String::as_str), wanted.product.as_deref());
            read += 1;
        }
        assert_eq!(read, rows);
    }
}
