"""The usual Flask API: Flask-SQLAlchemy models, marshmallow schemas, `jsonify`.

Served by gunicorn. The extensions' own patterns: `selectinload` against N+1 queries, Werkzeug's
`make_conditional` for the 304.
"""

# Its packages are in an environment of their own, which mypy does not see.
# mypy: ignore-errors

import os
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Flask, abort, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, fields
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    registry,
    relationship,
    selectinload,
)

JSON = dict[str, Any]
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class Base(DeclarativeBase):
    """The declarative base; lists and objects are stored as JSON."""

    registry = registry(type_annotation_map={JSON: JSONB, list[str]: JSONB, list[JSON]: JSONB})


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg2" + os.environ["DATABASE_URL"][10:]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"options": "-c timezone=UTC"}}
db = SQLAlchemy(app, model_class=Base)


class Product(db.Model):
    """What a shop sells."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    handle: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str]
    vendor: Mapped[str | None]
    category: Mapped[str | None]
    tags: Mapped[list[str]]
    options: Mapped[list[str]]
    images: Mapped[list[JSON]]
    metadata_: Mapped[JSON] = mapped_column("metadata")
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    variants: Mapped[list["Variant"]] = relationship(order_by="Variant.id")


class Variant(db.Model):
    """One combination of a product's options."""

    __tablename__ = "variants"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    sku: Mapped[str | None]
    options: Mapped[JSON]
    price: Mapped[Decimal | None]
    compare_at_price: Mapped[Decimal | None]
    barcode: Mapped[str | None]
    weight_grams: Mapped[Decimal | None]
    stock: Mapped[int | None]
    backorder: Mapped[bool]


class VariantSchema(Schema):
    """A variant as clients read it."""

    id = fields.Integer()
    options = fields.Dict()
    sku = fields.String()
    price = fields.Decimal(as_string=True)
    compare_at_price = fields.Decimal(as_string=True)
    barcode = fields.String()
    weight_grams = fields.Float()
    stock = fields.Integer()
    backorder = fields.Boolean()


class ProductSchema(Schema):
    """A product as clients read it."""

    id = fields.Integer()
    handle = fields.String()
    name = fields.String()
    description = fields.String()
    status = fields.String()
    vendor = fields.String()
    category = fields.String()
    tags = fields.List(fields.String())
    options = fields.List(fields.String())
    images = fields.List(fields.Dict())
    metadata = fields.Dict(attribute="metadata_")
    variants = fields.List(fields.Nested(VariantSchema))
    version = fields.Integer()
    created_at = fields.DateTime(TIME)
    updated_at = fields.DateTime(TIME)


product_schema = ProductSchema()
products_schema = ProductSchema(many=True)
living = select(Product).where(Product.deleted_at.is_(None))


@app.get("/products/<int:product_id>")
def get_product(product_id: int) -> ResponseReturnValue:
    """One product; a client that names its ETag is answered from the version alone."""
    if request.if_none_match:
        version = db.session.scalar(
            living.with_only_columns(Product.version).filter_by(id=product_id)
        )
        if version is not None and request.if_none_match.contains_weak(str(version)):
            response = app.response_class()
            response.set_etag(str(version))
            return response.make_conditional(request)
    product = db.session.scalar(
        living.filter_by(id=product_id).options(selectinload(Product.variants))
    )
    if product is None:
        abort(404)
    response = jsonify(product_schema.dump(product))
    response.set_etag(str(product.version))
    return response


@app.get("/products")
def list_products() -> ResponseReturnValue:
    """A page of products, by id."""
    limit = request.args.get("limit", 25, type=int)
    after = request.args.get("after", 0, type=int)
    found = db.session.scalars(
        living.where(Product.id > after)
        .order_by(Product.id)
        .limit(limit + 1)
        .options(selectinload(Product.variants))
    ).all()
    page, more = found[:limit], len(found) > limit
    link = url_for("list_products", limit=limit, after=page[-1].id) if more else None
    return jsonify(data=products_schema.dump(page), next=link)
