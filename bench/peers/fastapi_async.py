"""FastAPI with SQLAlchemy's async ORM on asyncpg, served by uvicorn on uvloop and httptools.

As the documentation has it for speed: return types that Pydantic turns into JSON in Rust, a
session per request from a dependency, `selectinload`. On ETags it is silent; this one is read
from the version alone.
"""

# Its packages are in an environment of their own, which mypy does not see.
# mypy: ignore-errors

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.types import TIMESTAMP

JSON = dict[str, Any]

# Each of the two workers may use as many connections as the bench's clients share out to it.
engine = create_async_engine(
    "postgresql+asyncpg" + os.environ["DATABASE_URL"][10:], pool_size=10, max_overflow=0
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The declarative base; lists and objects are stored as JSON."""

    type_annotation_map = {  # noqa: RUF012
        JSON: JSONB,
        list[str]: JSONB,
        list[JSON]: JSONB,
        datetime: TIMESTAMP(timezone=True),
    }


class Product(Base):
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


class Variant(Base):
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


class VariantOut(BaseModel):
    """A variant as clients read it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    options: JSON
    sku: str | None
    price: Decimal | None
    compare_at_price: Decimal | None
    barcode: str | None
    weight_grams: float | None
    stock: int | None
    backorder: bool


class ProductOut(BaseModel):
    """A product as clients read it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    handle: str
    name: str
    description: str | None
    status: str
    vendor: str | None
    category: str | None
    tags: list[str]
    options: list[str]
    images: list[JSON]
    # The declarative base owns the plain name.
    metadata: JSON = Field(validation_alias="metadata_")
    variants: list[VariantOut]
    version: int
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    """A page of products, and where the next one is."""

    data: list[ProductOut]
    next: str | None


async def open_session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with new_session() as session:
        yield session


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the pool at the end."""
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
Session = Annotated[AsyncSession, Depends(open_session)]
living = select(Product).where(Product.deleted_at.is_(None))


@app.get("/products/{product_id}")
async def get_product(
    product_id: int,
    session: Session,
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> ProductOut:
    """One product; a client that names its ETag is answered from the version alone."""
    if if_none_match is not None:
        version = await session.scalar(
            living.with_only_columns(Product.version).where(Product.id == product_id)
        )
        if f'"{version}"' in if_none_match:
            return Response(status_code=304, headers={"ETag": f'"{version}"'})
    product = await session.scalar(
        living.where(Product.id == product_id).options(selectinload(Product.variants))
    )
    if product is None:
        raise HTTPException(404)
    response.headers["ETag"] = f'"{product.version}"'
    return product


@app.get("/products")
async def list_products(
    request: Request,
    session: Session,
    limit: Annotated[int, Query(ge=1, le=200)] = 25,
    after: int = 0,
) -> Page:
    """A page of products, by id."""
    found = await session.scalars(
        living.where(Product.id > after)
        .order_by(Product.id)
        .limit(limit + 1)
        .options(selectinload(Product.variants))
    )
    products = found.all()
    page, more = products[:limit], len(products) > limit
    link = request.url.include_query_params(limit=limit, after=page[-1].id) if more else None
    return {"data": page, "next": str(link) if link else None}
